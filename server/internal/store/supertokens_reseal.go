package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

// ResealSigningKeys puts what rewrap answers in the place of the sealed keys of all apps, and
// says how many changed. With none changed there is no change to record.
func (db *DB) ResealSigningKeys(ctx context.Context, rewrap func(supertokens.SigningKey) (sealed []byte, changed bool, err error), c directory.Change) (n int, err error) {
	_, err = db.change(ctx, c, func(ctx context.Context, t tx) error {
		all, err := list(ctx, t, scanSigningKey, `SELECT app, id, static, sealed, created_at FROM supertokens_keys`)
		if err != nil {
			return err
		}
		n = 0
		for _, k := range all {
			sealed, changed, err := rewrap(k)
			if err != nil {
				return err
			}
			if !changed {
				continue
			}
			if _, err := t.exec(ctx, `UPDATE supertokens_keys SET sealed = $1 WHERE app = $2 AND id = $3`, sealed, k.App, k.ID); err != nil {
				return err
			}
			n++
		}
		if n == 0 {
			return errNothingToDo
		}
		return nil
	})
	if errors.Is(err, errNothingToDo) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reseal signing keys: %w", err)
	}
	return n, nil
}
