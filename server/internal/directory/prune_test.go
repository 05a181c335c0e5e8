package directory_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Nothing grows with the number of tokens and credentials ever made: what has ended goes, from the
// store and from the snapshot, without a change: credentials in a minute, denials in an hour, for
// which replicas publish them still.
func TestWhatHasEndedIsForgotten(t *testing.T) {
	db := open(t)
	synctest.Test(t, func(t *testing.T) {
		d := load(t, db, directory.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		if _, err := d.CreateService(ctx, operator, directory.NewService{Name: "m1"}); err != nil {
			t.Fatal(err)
		}
		short, long := directory.RandomID(), directory.RandomID()
		if err := errors.Join(d.RevokeToken(ctx, operator, short, time.Now().Add(time.Minute), ""), d.RevokeToken(ctx, operator, long, time.Now().Add(time.Hour), "")); err != nil {
			t.Fatal(err)
		}
		minute := add(t, d, "m1", directory.NewCredential{TTL: time.Minute})
		secret := add(t, d, "m1", directory.NewCredential{Kind: directory.KindSecret, Material: "x", TTL: time.Minute})
		before := d.Snapshot().Revision()
		state := func(when string, denied, credentials, stored int) {
			t.Helper()
			synctest.Wait()
			s := d.Snapshot()
			rows, err := db.ListRevocations(ctx, "", 9)
			if len(maps.Collect(s.Denials().All())) != denied || len(listed(d, "m1")) != credentials || len(rows) != stored || err != nil {
				t.Errorf("%s: got %d denials, %d credentials, %d rows, %v; want %d, %d, %d", when, len(maps.Collect(s.Denials().All())), len(listed(d, "m1")), len(rows), err, denied, credentials, stored)
			}
			for _, id := range []string{minute.ID, secret.ID} { // for the audit log
				if _, ok := s.Credential(id); !ok {
					t.Errorf("%s: %s is not found", when, id)
				}
			}
		}
		state("at first", 2, 2, 2)
		<-time.After(3*time.Minute + time.Second)
		state("after minutes", 2, 1, 2)
		<-time.After(time.Hour)
		state("after an hour", 1, 1, 1)
		<-time.After(time.Hour)
		state("after hours", 0, 1, 0)
		<-time.After(24 * time.Hour)
		state("after a day", 0, 0, 0)
		if after := d.Snapshot().Revision(); after != before {
			t.Errorf("forgetting made %d revisions", after-before)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
