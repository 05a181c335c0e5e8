package interop

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/watchword-dev/watchword/internal/audit"
	"github.com/watchword-dev/watchword/internal/keys"
	"github.com/watchword-dev/watchword/internal/store"
	"github.com/watchword-dev/watchword/internal/supertokens"
)

const apiKey = "interop-key-0123456789"

// core is a SuperTokens door on a port of its own, on a database of its own.
type core struct {
	*supertokens.Door
	url string // with the base path of an app
}

func startCore(t *testing.T) *core {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	sealer, err := keys.NewSealer(filepath.Join(dir, "sealing.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	door, err := supertokens.New(db, sealer, startAudit(t, dir), []string{apiKey}, supertokens.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := door.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(door.Handler())
	t.Cleanup(server.Close)
	return &core{door, server.URL + "/appid-m2m-auth"}
}

func startAudit(t *testing.T, dir string) *audit.Log {
	t.Helper()
	log, err := audit.Open(filepath.Join(dir, "audit"), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { log.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return log
}

// env is how a process finds the core.
func (c *core) env(more ...string) []string {
	return append([]string{"CORE=" + c.url, "API_KEY=" + apiKey}, more...)
}
