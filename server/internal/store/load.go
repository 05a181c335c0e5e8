package store

import (
	"context"
	"fmt"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Load reads everything, with the revision it is of, in one consistent read.
func (db *DB) Load(ctx context.Context) (*directory.State, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	var s directory.State
	err := db.readAll(ctx, func(ctx context.Context, t tx) (err error) {
		if s.Revision, err = revisionOf(ctx, t); err != nil {
			return err
		}
		if s.Epoch, s.TokenLife, err = epochOf(ctx, t); err != nil {
			return err
		}
		var steady int64
		if err := t.row(ctx, `SELECT value FROM counters WHERE name = 'steady'`).Scan(&steady); err != nil {
			return err
		}
		s.Steady = moment(steady)
		if s.Services, err = list(ctx, t, scanService, `SELECT `+serviceColumns+` FROM services`); err != nil {
			return err
		}
		if s.Credentials, err = list(ctx, t, scanCredential, `SELECT `+credentialColumns+` FROM credentials`); err != nil {
			return err
		}
		if s.Shadow, err = list(ctx, t, scanShadow, allShadow); err != nil {
			return err
		}
		if s.Revocations, err = list(ctx, t, scanRevocation, `SELECT `+revocationColumns+` FROM revocations`); err != nil {
			return err
		}
		if s.Trusts, err = list(ctx, t, scanTrust, `SELECT `+trustColumns+` FROM trusts`); err != nil {
			return err
		}
		// A million rules are better counted first than copied as the list grows.
		var n int64
		if err := t.row(ctx, `SELECT COUNT(*) FROM rules`).Scan(&n); err != nil {
			return err
		}
		s.Rules, err = appendRows(ctx, t, make([]directory.Rule, 0, n), new(ruleScanner).scan, `SELECT `+ruleColumns+` FROM rules`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load everything: %w", err)
	}
	return &s, nil
}
