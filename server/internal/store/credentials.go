package store

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

const credentialColumns = `id, service, kind, name, cidr, material, trust, managed_by, withheld, created_at, not_before, expires_at, revoked_at, last_used_at, last_used_from, life, replaces, overlap, version`

func scanCredential(row scanner) (c directory.Credential, err error) {
	var service, cidr string
	var created, from, expires, revoked, used, life, overlap int64
	err = row.Scan(&c.ID, &service, &c.Kind, &c.Name, &cidr, &c.Material, &c.Trust, &c.ManagedBy, &c.Withheld, &created, &from, &expires, &revoked, &used, &c.LastUsedFrom,
		&life, &c.Replaces, &overlap, &c.Version)
	if err != nil {
		return c, err
	}
	c.Life, c.Overlap = time.Duration(life)*time.Microsecond, time.Duration(overlap)*time.Microsecond
	c.NotBefore = moment(from)
	c.CreatedAt, c.ExpiresAt, c.RevokedAt, c.LastUsedAt = moment(created), moment(expires), moment(revoked), moment(used)
	if cidr != "" {
		// An error here must not read as "from anywhere".
		if c.CIDR, err = netip.ParsePrefix(cidr); err != nil {
			return c, fmt.Errorf("network of credential %s: %w", c.ID, err)
		}
	}
	c.Service, err = directory.ParseUID(service)
	return c, err
}

func formatCIDR(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

// ReadCredential answers directory.ErrNotFound when there is no such credential.
func (db *DB) ReadCredential(ctx context.Context, id string) (c directory.Credential, err error) {
	return readOne(ctx, db, fmt.Sprintf("read credential %q", id), scanCredential, `SELECT `+credentialColumns+` FROM credentials WHERE id = $1`, id)
}

// ListCredentials lists the credentials that f chooses by id: those after the id given, at most limit.
func (db *DB) ListCredentials(ctx context.Context, f directory.CredentialFilter, after string, limit int) (all []directory.Credential, err error) {
	query, args := `SELECT `+credentialColumns+` FROM credentials WHERE id > $1`, []any{after, max(limit, 0)}
	and := func(condition string, value any) {
		args = append(args, value)
		query += ` AND ` + condition + ` $` + strconv.Itoa(len(args))
	}
	if f.Service != (directory.UID{}) {
		and(`service =`, directory.FormatUID(f.Service))
	}
	if f.Trust != "" {
		and(`trust <> '' AND trust =`, f.Trust) // the index lacks those without one
	}
	if !f.EndsBy.IsZero() {
		and(`revoked_at = 0 AND expires_at >`, micros(f.EndsAfter))
		and(`expires_at <=`, micros(f.EndsBy))
	}
	return readList(ctx, db, "list credentials", scanCredential, query+` ORDER BY id LIMIT $2`, args...)
}

// InsertCredential stores cr as version 1. ErrNotFound: its service or its trust is not there. ErrConflict: another
// credential that has not ended replaces the same one.
func (db *DB) InsertCredential(ctx context.Context, cr directory.Credential, c directory.Change) (int64, error) {
	return db.change(ctx, c, fmt.Sprintf("insert credential %q", cr.ID), func(ctx context.Context, t tx) error {
		if err := t.mustHave(ctx, cr.Service); err != nil {
			return err
		}
		if cr.Replaces != "" {
			var others int
			err := t.row(ctx, `SELECT COUNT(*) FROM credentials WHERE service = $1 AND replaces = $2 AND revoked_at = 0 AND expires_at > $3`,
				directory.FormatUID(cr.Service), cr.Replaces, micros(cr.CreatedAt)).Scan(&others)
			if err != nil || others > 0 {
				return cmp.Or(err, directory.ErrConflict)
			}
		}
		return t.insertCredentials(ctx, cr)
	})
}

// insertCredentials inserts credentials of services that are there.
func (t tx) insertCredentials(ctx context.Context, all ...directory.Credential) error {
	known := map[string]bool{"": true}
	rows := make([][]any, len(all))
	for i, cr := range all {
		if !known[cr.Trust] {
			if err := t.mustHaveTrust(ctx, cr.Trust); err != nil {
				return err
			}
			known[cr.Trust] = true
		}
		rows[i] = []any{
			cr.ID, directory.FormatUID(cr.Service), string(cr.Kind), cr.Name, formatCIDR(cr.CIDR), cr.Material, cr.Trust, cr.ManagedBy, cr.Withheld,
			micros(cr.CreatedAt), micros(cr.NotBefore), micros(cr.ExpiresAt), micros(cr.RevokedAt), micros(cr.LastUsedAt), cr.LastUsedFrom,
			cr.Life.Microseconds(), cr.Replaces, cr.Overlap.Microseconds(),
		}
	}
	for chunk := range slices.Chunk(rows, rowsPerStatement) {
		n, err := t.insertRows(ctx, `credentials (`+credentialColumns+`)`, `, 1`, chunk)
		if err != nil {
			return err
		}
		if n < int64(len(chunk)) {
			return directory.ErrExists
		}
	}
	return nil
}

func (t tx) putCredentialsOf(ctx context.Context, b directory.Batch) error {
	for _, cr := range b.AdoptCredentials {
		if err := t.updateCredential(ctx, cr); err != nil {
			return fmt.Errorf("credential %s: %w", cr.ID, err)
		}
	}
	return t.insertCredentials(ctx, b.PutCredentials...)
}

// UpdateCredential stores the name, the end, the revocation, the network and the file of cr. Whose and
// what it is never changes, and RecordUse alone writes when it was used.
func (db *DB) UpdateCredential(ctx context.Context, cr directory.Credential, c directory.Change) (int64, error) {
	return db.change(ctx, c, fmt.Sprintf("update credential %q", cr.ID), func(ctx context.Context, t tx) error { return t.updateCredential(ctx, cr) })
}

func (t tx) updateCredential(ctx context.Context, cr directory.Credential) error {
	n, err := t.exec(ctx, `
		UPDATE credentials SET name = $3, expires_at = $4, revoked_at = $5, cidr = $6, managed_by = $7, withheld = $8, version = version + 1
		WHERE id = $1 AND version = $2`,
		cr.ID, cr.Version, cr.Name, micros(cr.ExpiresAt), micros(cr.RevokedAt), formatCIDR(cr.CIDR), cr.ManagedBy, cr.Withheld)
	return t.orWhy(ctx, n, err, `SELECT COUNT(*) FROM credentials WHERE id = $1`, cr.ID)
}

const usesPerStatement = 500

// RecordUse stores when and from where credentials were last used. An earlier moment never
// overwrites a later one. Uses of what is not there are ignored.
func (db *DB) RecordUse(ctx context.Context, uses []directory.Use) error {
	uses = latest(uses)
	if len(uses) == 0 {
		return nil
	}
	return db.write(ctx, "record use of credentials", func(ctx context.Context, t tx) error {
		for chunk := range slices.Chunk(uses, usesPerStatement) {
			var values strings.Builder
			args := make([]any, 0, 3*len(chunk))
			for i, u := range chunk {
				if i > 0 {
					values.WriteString(", ")
				}
				// The casts tell PostgreSQL the types, which it does not infer here.
				values.WriteString("(CAST($" + strconv.Itoa(3*i+1) + " AS TEXT), CAST($" + strconv.Itoa(3*i+2) + " AS BIGINT), CAST($" + strconv.Itoa(3*i+3) + " AS TEXT))")
				args = append(args, u.Credential, micros(u.At), u.From)
			}
			// Both engines call the columns of VALUES column1, column2 and so on.
			if _, err := t.exec(ctx, `
				UPDATE credentials SET last_used_at = v.column2, last_used_from = v.column3
				FROM (VALUES `+values.String()+`) AS v
				WHERE credentials.id = v.column1 AND credentials.last_used_at < v.column2`, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// latest keeps the last use of each credential, in the order of ids, so that two replicas
// rarely wait for each other's rows crosswise. A use that cannot be stored is left out
// rather than keeping the others from being stored.
func latest(uses []directory.Use) []directory.Use {
	uses = slices.DeleteFunc(slices.Clone(uses), func(u directory.Use) bool { return !validText(u.Credential) || !validText(u.From) })
	slices.SortFunc(uses, func(a, b directory.Use) int {
		return cmp.Or(strings.Compare(a.Credential, b.Credential), b.At.Compare(a.At))
	})
	return slices.CompactFunc(uses, func(a, b directory.Use) bool { return a.Credential == b.Credential })
}
