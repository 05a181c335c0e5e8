package keys

import (
	"context"
	"errors"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// StepOnce is one turn of Run's loop.
func (r *Ring) StepOnce(ctx context.Context) error { return r.step(ctx) }

// AddOnce stores what the directory would store for a service that asks for alg.
func (r *Ring) AddOnce(ctx context.Context, s Store, alg jose.Algorithm) error {
	for {
		keys, err := r.Additions(ctx, []string{string(alg)})
		if err != nil || keys == nil {
			return err
		}
		add := keys.(*Addition)
		err = s.SaveKeys(ctx, add.Version, add.Keys, nil, directory.Change{At: add.Keys[0].CreatedAt, Action: "service.create", Subject: directory.SubjectKeys, Detail: add.Detail()})
		if !errors.Is(err, ErrConflict) {
			return errors.Join(err, r.Reload(ctx))
		}
	}
}
