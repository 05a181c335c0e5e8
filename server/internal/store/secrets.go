package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

type storedSecret struct {
	name   string
	sealed []byte
}

func scanSecret(row scanner) (s storedSecret, err error) {
	err = row.Scan(&s.name, &s.sealed)
	return s, err
}

func (t tx) secret(ctx context.Context, name string) (sealed []byte, err error) {
	s, err := scanSecret(t.row(ctx, `SELECT name, sealed FROM secrets WHERE name = $1`, name))
	return s.sealed, err
}

// Secret is the sealed secret of that name, or nil.
func (db *DB) Secret(ctx context.Context, name string) (sealed []byte, err error) {
	err = db.read(ctx, fmt.Sprintf("read secret %q", name), func(ctx context.Context, t tx) error {
		sealed, err = t.secret(ctx, name)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return sealed, err
}

// PutSecret stores a sealed secret unless there is one of that name, and returns the one that is
// stored then. It is no change of what replicas follow.
func (db *DB) PutSecret(ctx context.Context, name string, sealed []byte) (stored []byte, err error) {
	err = db.write(ctx, fmt.Sprintf("put secret %q", name), func(ctx context.Context, t tx) error {
		// Another replica that just stored one is waited for, and its row is then there to read.
		if _, err := t.exec(ctx, `INSERT INTO secrets (name, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name, notNil(sealed)); err != nil {
			return err
		}
		stored, err = t.secret(ctx, name)
		return err
	})
	return stored, err
}
