package store

import (
	"context"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// SaveProbe stores what came of a probe in the place of the last one. It is no change of what
// replicas follow. directory.ErrNotFound: the service is gone.
func (db *DB) SaveProbe(ctx context.Context, service directory.UID, at time.Time, result []byte) error {
	return db.write(ctx, "save probe of "+directory.FormatUID(service), func(ctx context.Context, t tx) error {
		n, err := t.exec(ctx, `INSERT INTO probes (service, begun_at, result) SELECT uid, CAST($2 AS BIGINT), CAST($3 AS TEXT) FROM services WHERE uid = $1
			ON CONFLICT (service) DO UPDATE SET begun_at = excluded.begun_at, result = excluded.result`,
			directory.FormatUID(service), micros(at), string(result))
		return orElse(n, err, directory.ErrNotFound)
	})
}

// ClaimProbe notes that a probe of the service begins now, unless one began after the moment notAfter,
// and reports whether it did. Of several callers one is told so.
func (db *DB) ClaimProbe(ctx context.Context, service directory.UID, now, notAfter time.Time) (mine bool, err error) {
	err = db.write(ctx, "claim probe of "+directory.FormatUID(service), func(ctx context.Context, t tx) error {
		n, err := t.exec(ctx, `INSERT INTO probes (service, begun_at, result) SELECT uid, CAST($2 AS BIGINT), '' FROM services WHERE uid = $1
			ON CONFLICT (service) DO UPDATE SET begun_at = excluded.begun_at WHERE probes.begun_at <= CAST($3 AS BIGINT)`,
			directory.FormatUID(service), micros(now), micros(notAfter))
		mine = n == 1
		return err
	})
	return mine && err == nil, err
}

// ProbeTimes says when the last probe of each service began.
func (db *DB) ProbeTimes(ctx context.Context) (map[directory.UID]time.Time, error) {
	rows, err := readList(ctx, db, "read probe times", scanProbe, `SELECT service, begun_at, '' FROM probes`)
	if err != nil {
		return nil, err
	}
	times := make(map[directory.UID]time.Time, len(rows))
	for _, r := range rows {
		times[r.Service] = r.BegunAt
	}
	return times, nil
}

// ListProbes lists what came of the last probe of services, by identity, of those after the one given
// (zero: all), at most limit.
func (db *DB) ListProbes(ctx context.Context, after directory.UID, limit int) ([]directory.Probe, error) {
	first := ""
	if after != (directory.UID{}) {
		first = directory.FormatUID(after)
	}
	return readList(ctx, db, "list probes", scanProbe, `
		SELECT service, begun_at, result FROM probes WHERE result <> '' AND service > $1 ORDER BY service LIMIT $2`, first, max(limit, 0))
}

func scanProbe(row scanner) (p directory.Probe, err error) {
	var service, result string
	var at int64
	if err := row.Scan(&service, &at, &result); err != nil {
		return p, err
	}
	p.BegunAt, p.Result = moment(at), []byte(result)
	p.Service, err = directory.ParseUID(service)
	return p, err
}
