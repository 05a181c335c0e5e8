//go:build unix

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// F62: the whole store works through PgBouncer in transaction mode, without anything that belongs to a connection.
func TestPoolerNeedsNoSetting(t *testing.T) {
	direct := pgtest.Start(t)
	pooler := pgtest.Bouncer(t, "default_pool_size = 4")
	o := Options{DatabaseURL: pooler.URL(t, direct)}
	const replicas = 6
	opened := make(chan error, replicas)
	for i := range replicas { // one of them makes the schema
		go func() {
			db, err := Open(t.Context(), o)
			if err == nil {
				_, err = db.InsertService(t.Context(), newService(fmt.Sprint("m", i)), change("x"))
				err = errors.Join(err, db.Close())
			}
			opened <- err
		}()
	}
	for range replicas {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
	db := open(t, o)
	if got := revision(t, db); got != replicas {
		t.Errorf("got revision %d, want %d", got, replicas)
	}
	var timeout string
	if err := db.write(t.Context(), "test", func(ctx context.Context, t tx) error {
		return t.row(ctx, `SHOW `+idleTimeout).Scan(&timeout)
	}); err != nil || timeout != idleTimeoutValue {
		t.Errorf("a change has %s %q (%v), want %s", idleTimeout, timeout, err, idleTimeoutValue)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second/2) // in which it would have listened
	defer cancel()
	for _, err := range db.Notifications(ctx) {
		t.Errorf("listened through a pooler: %v", err)
	}
	// What is left on the pooler's connections is for whoever gets them next.
	conn, err := pgx.Connect(t.Context(), direct)
	must(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	var locks int
	if err := conn.QueryRow(t.Context(), `SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'`).Scan(&locks); err != nil || locks > 0 {
		t.Errorf("%d locks were left (%v)", locks, err)
	}
	for range 4 {
		var left string
		if err := db.readers.QueryRowContext(t.Context(), `SELECT current_setting('`+idleTimeout+`') || (SELECT COUNT(*) FROM pg_listening_channels())`).Scan(&left); err != nil || left != "00" {
			t.Errorf("a connection of the pooler was left with %q (%v)", left, err)
		}
	}
}

// F62: what a pooler refuses is said with what to set.
func TestParameterThatAPoolerRefusesIsExplained(t *testing.T) {
	direct := pgtest.Start(t)
	_, err := Open(t.Context(), Options{DatabaseURL: pgtest.Bouncer(t).URL(t, direct) + "&lock_timeout=5s"})
	if err == nil || !strings.Contains(err.Error(), "lock_timeout") || !strings.Contains(err.Error(), "leave it out there, or name it in ignore_startup_parameters") {
		t.Errorf("got %v", err)
	}
	open(t, Options{DatabaseURL: pgtest.Bouncer(t, "ignore_startup_parameters = lock_timeout").URL(t, direct) + "&lock_timeout=5s"})
}
