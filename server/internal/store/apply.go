package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Apply makes all changes of b in one transaction, if b.Base is the revision stored. Tokens of
// deleted services are denied until a moment.
func (db *DB) Apply(ctx context.Context, b directory.Batch, until time.Time, c directory.Change) (revision int64, err error) {
	return db.changeMany(ctx, c, "apply", func(ctx context.Context, t tx, revision int64) ([]string, error) {
		if revision != b.Base+1 {
			return nil, fmt.Errorf("planned on revision %d, and %d is stored: %w", b.Base, revision-1, directory.ErrConflict)
		}
		if err := t.deleteOf(ctx, b, until, c.At); err != nil {
			return nil, err
		}
		// In the order in which one names the other.
		for _, put := range []func(context.Context, directory.Batch) error{t.putTrustsOf, t.putServicesOf, t.putCredentialsOf, t.putRulesOf, t.putShadowOf} {
			if err := put(ctx, b); err != nil {
				return nil, err
			}
		}
		return b.Subjects(), t.insertApplied(ctx, revision, b.Applied)
	})
}

func (t tx) deleteOf(ctx context.Context, b directory.Batch, until, now time.Time) error {
	for _, r := range b.Withdrawn {
		if err := t.insertRevocation(ctx, r); err != nil {
			return err
		}
	}
	for _, cr := range b.RevokeCredentials {
		if err := t.updateCredential(ctx, cr); err != nil {
			return fmt.Errorf("credential %s: %w", cr.ID, err)
		}
	}
	for _, tr := range b.DeleteTrusts {
		if err := t.deleteTrust(ctx, tr.ID, tr.Version); err != nil {
			return fmt.Errorf("trust %q: %w", tr.Name, err)
		}
	}
	for _, r := range b.DeleteRules {
		if err := t.deleteRule(ctx, r.Edge, r.Version); err != nil {
			return err
		}
	}
	for _, s := range b.DeleteServices {
		gone := directory.Revocation{ID: directory.FormatUID(s.UID), RevokedAt: now, Until: until}
		if err := t.deleteService(ctx, s.UID, s.Version, gone); err != nil {
			return fmt.Errorf("service %q: %w", s.Name, err)
		}
	}
	return nil
}

func (t tx) putServicesOf(ctx context.Context, b directory.Batch) error {
	// Audiences may move between the services of one batch.
	for _, s := range b.PutServices {
		if s.Version == 0 {
			continue
		}
		if _, err := t.exec(ctx, `DELETE FROM audiences WHERE service = $1`, directory.FormatUID(s.UID)); err != nil {
			return err
		}
	}
	for _, s := range b.PutServices {
		put := t.updateService
		if s.Version == 0 {
			put = t.insertService
		}
		if err := put(ctx, s); err != nil {
			return fmt.Errorf("service %q: %w", s.Name, err)
		}
	}
	return nil
}

func (t tx) putRulesOf(ctx context.Context, b directory.Batch) error {
	var fresh []directory.Rule
	for _, r := range b.PutRules {
		if r.Version == 0 {
			fresh = append(fresh, r)
		} else if err := t.putRule(ctx, r); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(fresh, rowsPerStatement) {
		rows := make([][]any, len(chunk))
		for i, r := range chunk {
			caller, target := formatEdge(r.Edge)
			rows[i] = append([]any{caller, target, r.ManagedBy, micros(r.CreatedAt), micros(r.UpdatedAt)}, termsOf(r)...)
		}
		n, err := t.insertRows(ctx, `rules (caller, target, managed_by, created_at, updated_at, scopes, exchange, may_act, conditions, until_at, version)`, `, 1`, rows)
		if err != nil {
			return err
		}
		if n < int64(len(chunk)) {
			return directory.ErrConflict
		}
	}
	return nil
}

func (t tx) putShadowOf(ctx context.Context, b directory.Batch) error {
	if b.Shadow == nil {
		return nil
	}
	if _, err := t.exec(ctx, `DELETE FROM shadow_rules`); err != nil {
		return err
	}
	for chunk := range slices.Chunk(*b.Shadow, rowsPerStatement) {
		rows := make([][]any, len(chunk))
		for i, r := range chunk {
			caller, target := formatEdge(r.Edge)
			rows[i] = append([]any{caller, target, r.Absent, r.ManagedBy}, termsOf(r.Rule)...)
		}
		if _, err := t.insertRows(ctx, `shadow_rules (caller, target, absent, managed_by, scopes, exchange, may_act, conditions, until_at)`, "", rows); err != nil {
			return err
		}
	}
	return nil
}

func (t tx) insertSubjects(ctx context.Context, revision int64, subjects []string) error {
	for chunk := range slices.Chunk(subjects, rowsPerStatement) {
		rows := make([][]any, len(chunk))
		for i, s := range chunk {
			rows[i] = []any{revision, s}
		}
		if _, err := t.insertRows(ctx, `change_subjects (revision, subject)`, "", rows); err != nil {
			return err
		}
	}
	return nil
}

// Subjects lists what the change of that revision touched.
func (db *DB) Subjects(ctx context.Context, revision int64) (all []string, err error) {
	return readList(ctx, db, "read what a change touched", scanText, `SELECT subject FROM change_subjects WHERE revision = $1 ORDER BY subject`, revision)
}
