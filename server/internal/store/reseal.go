package store

import (
	"context"
	"errors"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

// ResealSecrets puts what rewrap answers in the place of all secrets, and returns how many changed.
// If none changed, there is no change to record.
func (db *DB) ResealSecrets(ctx context.Context, rewrap func(name string, sealed []byte) (again []byte, changed bool, err error), c directory.Change) (int, error) {
	return reseal(ctx, db, c, sealed[storedSecret]{
		what: "secrets", query: `SELECT name, sealed FROM secrets`, scan: scanSecret,
		rewrap: func(s storedSecret) ([]byte, bool, error) { return rewrap(s.name, s.sealed) },
		update: `UPDATE secrets SET sealed = $1 WHERE name = $2`, key: func(s storedSecret) []any { return []any{s.name} },
	})
}

// ResealSigningKeys puts what rewrap answers in the place of the sealed keys of all apps, and
// returns how many changed. If none changed, there is no change to record.
func (db *DB) ResealSigningKeys(ctx context.Context, rewrap func(supertokens.SigningKey) (sealed []byte, changed bool, err error), c directory.Change) (int, error) {
	return reseal(ctx, db, c, sealed[supertokens.SigningKey]{
		what: "signing keys", query: `SELECT app, id, static, sealed, created_at FROM supertokens_keys`, scan: scanSigningKey, rewrap: rewrap,
		update: `UPDATE supertokens_keys SET sealed = $1 WHERE app = $2 AND id = $3`,
		key:    func(k supertokens.SigningKey) []any { return []any{k.App, k.ID} },
	})
}

// sealed is a table of sealed records.
type sealed[T any] struct {
	what, query, update string
	scan                func(scanner) (T, error)
	rewrap              func(T) (again []byte, changed bool, err error)
	key                 func(T) []any // the arguments of update after the first
}

func reseal[T any](ctx context.Context, db *DB, c directory.Change, s sealed[T]) (n int, err error) {
	_, err = db.change(ctx, c, "reseal "+s.what, func(ctx context.Context, t tx) error {
		all, err := list(ctx, t, s.scan, s.query)
		if err != nil {
			return err
		}
		n = 0
		for _, record := range all {
			again, changed, err := s.rewrap(record)
			if err != nil {
				return err
			}
			if !changed {
				continue
			}
			if _, err := t.exec(ctx, s.update, append([]any{again}, s.key(record)...)...); err != nil {
				return err
			}
			n++
		}
		if n == 0 {
			return errNothingToDo
		}
		return nil
	})
	switch {
	case errors.Is(err, errNothingToDo):
		return 0, nil
	case err != nil:
		return 0, err // nothing changed
	}
	return n, nil
}
