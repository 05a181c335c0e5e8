//go:build unix

package keys_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

func TestMain(m *testing.M) {
	childMain() // does not return in a process started to be killed
	m.Run()
}

var operator = directory.Author{Actor: "operator"}

// later is a store whose clock is its own plus what passed: rotations are 720 h apart.
type later struct {
	*store.DB
	passed time.Duration
}

func (s *later) Now(ctx context.Context) (time.Time, error) {
	now, err := s.DB.Now(ctx)
	return now.Add(s.passed), err
}

// place is where a database is.
type place struct{ options store.Options }

// another is a new, empty database of the same engine.
func (p place) another(t testing.TB) place {
	if p.options.DatabaseURL != "" {
		return place{store.Options{DatabaseURL: pgtest.Start(t)}}
	}
	return place{store.Options{DataDir: t.TempDir()}}
}

func (p place) open(t testing.TB) *later {
	t.Helper()
	db, err := store.Open(t.Context(), p.options)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return &later{DB: db}
}

// onEachEngine runs test on a new SQLite folder and on a new PostgreSQL.
func onEachEngine(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("SQLite", func(t *testing.T) { test(t, place{store.Options{DataDir: t.TempDir()}}) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, place{store.Options{DatabaseURL: pgtest.Start(t)}}) })
}

// prepend puts the lines of the second file before those of the first.
func prepend(t testing.TB, path, first string) {
	t.Helper()
	old, err := os.ReadFile(path)
	must(t, err)
	added, err := os.ReadFile(first)
	must(t, err)
	must(t, os.WriteFile(path, append(added, old...), 0o600))
}

// replicas are two that share a database: on PostgreSQL with connections of their own, on
// SQLite, which one process owns, as two rings on one.
func (p place) replicas(t testing.TB, o keys.Options) (stores [2]*later, rings [2]*keys.Ring) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sealing-key")
	for i := range rings {
		if i == 0 || p.options.DatabaseURL != "" {
			stores[i] = p.open(t)
		} else {
			stores[i] = &later{DB: stores[0].DB}
		}
		sealer, err := keys.NewSealer(path, true)
		must(t, err)
		rings[i] = keys.NewRing(stores[i], sealer, o)
	}
	return stores, rings
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// together runs f for both replicas at once.
func together(t *testing.T, f func(i int) error) {
	t.Helper()
	var ready, done sync.WaitGroup
	ready.Add(2)
	for i := range 2 {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			if err := f(i); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}

func states(ring *keys.Ring, use keys.Use, alg jose.Algorithm) map[keys.State]int {
	n := map[keys.State]int{}
	for _, k := range ring.List() {
		if k.Use == use && k.Algorithm == string(alg) {
			n[k.State]++
		}
	}
	return n
}

// ROT-005: the first start, the scheduled rotation a hundred times, and a new algorithm,
// each by two replicas at once.
func TestTwoReplicasMakeOneKey(t *testing.T) {
	onEachEngine(t, func(t *testing.T, p place) {
		stores, rings := p.replicas(t, keys.Options{})
		together(t, func(i int) error { return rings[i].Load(t.Context()) })
		together(t, func(i int) error { return rings[i].StepOnce(t.Context()) })
		for i := range rings { // the loser of a race reads what the winner wrote
			must(t, rings[i].Reload(t.Context()))
		}
		if n := len(rings[0].List()); n != 4 {
			t.Fatalf("%d keys after the first start, want three active and one next", n)
		}
		for try := range 100 {
			for _, s := range stores {
				s.passed += keys.DefaultRotateEvery
			}
			before := rings[0].List()
			together(t, func(i int) error { return rings[i].StepOnce(t.Context()) })
			for i := range rings {
				must(t, rings[i].Reload(t.Context()))
			}
			if a, b := rings[0].List(), rings[1].List(); !reflect.DeepEqual(a, b) {
				t.Fatalf("try %d: the replicas differ:\n%v\n%v", try, a, b)
			}
			want := map[keys.State]int{keys.StateActive: 1, keys.StateNext: 1, keys.StateRetiring: 1}
			if got := states(rings[0], keys.UseAccess, jose.ES256); !reflect.DeepEqual(got, want) {
				t.Fatalf("try %d: got %v, want %v", try, got, want)
			}
			made := slices.DeleteFunc(rings[0].List(), func(k keys.Record) bool {
				return slices.ContainsFunc(before, func(b keys.Record) bool { return b.ID == k.ID })
			})
			if len(made) != 1 || made[0].State != keys.StateNext {
				t.Fatalf("try %d: made %v, want one next key", try, made)
			}
			for i := range rings {
				signer, err := rings[i].Signer(keys.UseAccess, jose.ES256)
				must(t, err)
				if !slices.ContainsFunc(before, func(k keys.Record) bool { return k.ID == signer.ID() && k.State == keys.StateNext }) {
					t.Fatalf("try %d: replica %d signs with a key that was not next", try, i)
				}
			}
		}
		together(t, func(i int) error { return rings[i].AddOnce(t.Context(), stores[i], jose.EdDSA) })
		must(t, rings[0].Reload(t.Context()))
		if got := states(rings[0], keys.UseAccess, jose.EdDSA); got[keys.StateActive] != 1 || len(got) != 1 {
			t.Errorf("a new algorithm has keys %v, want one", got)
		}
	})
}

// ROT-005: operators on two replicas, at cross purposes.
func TestOperatorsOnTwoReplicasLeaveASoundRing(t *testing.T) {
	onEachEngine(t, func(t *testing.T, p place) {
		_, rings := p.replicas(t, keys.Options{})
		together(t, func(i int) error { return rings[i].Load(t.Context()) })
		for range 20 {
			signer, err := rings[0].Signer(keys.UseAccess, jose.ES256)
			must(t, err)
			together(t, func(i int) error {
				if i == 0 {
					_, err := rings[0].Revoke(t.Context(), operator, signer.ID())
					return err
				}
				if _, err := rings[1].Rotate(t.Context(), operator, "", "", true); err != nil {
					return err
				}
				return rings[1].StepOnce(t.Context())
			})
			for i, ring := range rings {
				must(t, ring.Reload(t.Context()))
				must(t, ring.Healthy())
				now, err := ring.Signer(keys.UseAccess, jose.ES256)
				must(t, err)
				if _, found := ring.Verifiers(keys.UseAccess).Find(signer.ID()); found || now.ID() == signer.ID() {
					t.Fatalf("replica %d still uses the revoked key", i)
				}
				if n := states(ring, keys.UseAccess, jose.ES256); n[keys.StateActive] != 1 || n[keys.StateNext] > 1 {
					t.Fatalf("replica %d has %v", i, n)
				}
			}
		}
	})
}

// FLT-038.
func TestRestartsOnARealDatabaseMakeNoKeys(t *testing.T) {
	onEachEngine(t, func(t *testing.T, p place) {
		path := filepath.Join(t.TempDir(), "sealing-key")
		var want int64
		for i := range 10 {
			db, err := store.Open(t.Context(), p.options)
			must(t, err)
			sealer, err := keys.NewSealer(path, i == 0)
			must(t, err)
			ring := keys.NewRing(db, sealer, keys.Options{})
			must(t, ring.Load(t.Context()))
			must(t, ring.StepOnce(t.Context()))
			records, version, err := db.LoadKeys(t.Context())
			must(t, err)
			if i == 0 {
				want = version
			}
			if len(records) != 4 || version != want {
				t.Errorf("start %d: %d keys at version %d, want 4 at %d", i, len(records), version, want)
			}
			must(t, db.Close())
		}
	})
}

// ROT-010: what the store keeps opens with the new sealing key alone, and what was signed
// before verifies after.
func TestStoredKeysOpenAfterAReseal(t *testing.T) {
	onEachEngine(t, func(t *testing.T, p place) {
		old, fresh := filepath.Join(t.TempDir(), "sealing-key"), filepath.Join(t.TempDir(), "sealing-key")
		s := p.open(t)
		sealer, err := keys.NewSealer(old, true)
		must(t, err)
		ring := keys.NewRing(s, sealer, keys.Options{})
		must(t, ring.Load(t.Context()))
		must(t, ring.StepOnce(t.Context()))
		signer, err := ring.Signer(keys.UseAccess, jose.ES256)
		must(t, err)
		token, err := signer.Sign("at+jwt", []byte(`{}`))
		must(t, err)

		_, err = keys.NewSealer(fresh, true)
		must(t, err)
		prepend(t, old, fresh)
		n, err := ring.Reseal(t.Context(), operator)
		if err != nil || n != 4 {
			t.Fatalf("resealed %d, %v; want 4", n, err)
		}

		alone, err := keys.NewSealer(fresh, false)
		must(t, err)
		after := keys.NewRing(s, alone, keys.Options{})
		must(t, after.Load(t.Context()))
		parsed, err := jose.Parse(token)
		must(t, err)
		must(t, parsed.Verify(after.Verifiers(keys.UseAccess), []jose.Algorithm{jose.ES256}))
		if again, err := after.Signer(keys.UseAccess, jose.ES256); err != nil || again.ID() != signer.ID() {
			t.Errorf("the key that signs is another one: %v", err)
		}
	})
}
