package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

func (t tx) insertApplied(ctx context.Context, revision int64, a *directory.Applied) error {
	if a == nil {
		return nil
	}
	var document bytes.Buffer
	w := gzip.NewWriter(&document)
	if _, err := w.Write(a.Document); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO applied (revision, at, author, reason, managed_by, summary, document) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		revision, micros(a.At), a.Author, a.Reason, a.ManagedBy, a.Summary, document.Bytes())
	return err
}

const appliedColumns = `revision, at, author, reason, managed_by, summary`

func scanApplied(row scanner) (a directory.Applied, err error) {
	var at int64
	err = row.Scan(&a.Revision, &at, &a.Author, &a.Reason, &a.ManagedBy, &a.Summary)
	a.At = moment(at)
	return a, err
}

// ListApplied lists the files that were applied, the newest first, those before the revision given
// (0: all), at most limit, without their text.
func (db *DB) ListApplied(ctx context.Context, before int64, limit int) (all []directory.Applied, err error) {
	return readList(ctx, db, "list applied files", scanApplied, `SELECT `+appliedColumns+` FROM applied
			WHERE revision < $1 OR $1 = 0 ORDER BY revision DESC LIMIT $2`, before, max(limit, 0))
}

// ReadApplied reads one with its text. directory.ErrNotFound: nothing was applied at that revision.
func (db *DB) ReadApplied(ctx context.Context, revision int64) (a directory.Applied, err error) {
	var packed []byte
	err = db.read(ctx, fmt.Sprintf("read file applied at revision %d", revision), func(ctx context.Context, t tx) error {
		if a, err = scanApplied(t.row(ctx, `SELECT `+appliedColumns+` FROM applied WHERE revision = $1`, revision)); err != nil {
			return notFound(err)
		}
		return t.row(ctx, `SELECT document FROM applied WHERE revision = $1`, revision).Scan(&packed)
	})
	if err != nil {
		return directory.Applied{}, err
	}
	a.Document, err = unpack(packed)
	return a, attempted(fmt.Sprintf("read file applied at revision %d", revision), err)
}

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Shadow reads the overlay.
func (db *DB) Shadow(ctx context.Context) (all []directory.ShadowRule, err error) {
	return readList(ctx, db, "read shadow rules", scanShadow, allShadow)
}

const allShadow = `SELECT caller, target, scopes, exchange, may_act, conditions, until_at, absent, managed_by
	FROM shadow_rules ORDER BY caller, target`

func scanShadow(row scanner) (r directory.ShadowRule, err error) {
	var caller, target, scopes, mayAct, conditions string
	var until int64
	if err := row.Scan(&caller, &target, &scopes, &r.Exchange, &mayAct, &conditions, &until, &r.Absent, &r.ManagedBy); err != nil {
		return r, err
	}
	r.Scopes, r.Until = words(scopes), moment(until)
	if r.When, err = directory.ParseWhen(conditions); err != nil {
		return r, err
	}
	if mayAct != "" {
		if r.MayAct, err = directory.ParseUID(mayAct); err != nil {
			return r, err
		}
	}
	if r.Caller, err = directory.ParseUID(caller); err != nil {
		return r, err
	}
	r.Target, err = directory.ParseUID(target)
	return r, err
}
