//go:build unix

package supertokens_test

import (
	"testing"

	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

func TestReplicasOnPostgreSQLMakeOneKey(t *testing.T) {
	url := pgtest.Start(t)
	var stores []supertokens.Store
	for range 3 {
		db, err := store.Open(t.Context(), store.Options{DataDir: t.TempDir(), DatabaseURL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		stores = append(stores, db)
	}
	askReplicas(t, newClock(), stores)
}
