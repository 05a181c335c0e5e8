package directory_test

import (
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// machine is a clock that somebody sets, and the time that passes.
type machine struct {
	began         time.Time
	passed, wrong time.Duration
}

func (m *machine) now() time.Time     { return m.began.Add(m.passed + m.wrong) }
func (m *machine) passing() time.Time { return m.began.Add(m.passed) }

// F110, F111: a clock that is wrong for some hours, also at a start, neither has a revocation forgotten nor makes it end
// early.
func TestWrongClockMakesNothingGoodAgain(t *testing.T) {
	const life = 24 * time.Hour
	for name, wrong := range map[string]time.Duration{"ahead": 40 * time.Hour, "behind": -40 * time.Hour, "years ahead": 10000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			m := &machine{began: time.Now().UTC().Truncate(time.Second)}
			db := openAt(t, m.now)
			begin := func() *directory.Directory {
				return load(t, db, directory.Options{Now: m.now, Passing: m.passing, MaxTokenTTL: life})
			}
			d := begin()
			pass := func(steps int, step time.Duration) {
				t.Helper()
				for range steps {
					m.passed += step
					if err := d.Forget(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			pass(1, time.Minute)
			if _, err := d.CreateService(t.Context(), operator, directory.NewService{Name: "m1"}); err != nil {
				t.Fatal(err)
			}
			credential := add(t, d, "m1", directory.NewCredential{}).ID
			before, during := directory.RandomID(), directory.RandomID()
			end := m.passed + life // of what is issued now
			revoke := func(jti string) {
				t.Helper()
				if err := d.RevokeToken(t.Context(), operator, jti, m.began.Add(end), ""); err != nil {
					t.Fatal(err)
				}
			}
			revoke(before)
			m.wrong = wrong
			pass(60, time.Minute)
			d = begin() // the server is started again
			pass(60, time.Minute)
			revoke(during)
			if _, err := d.RevokeCredential(t.Context(), operator, credential); err != nil {
				t.Fatal(err)
			}
			m.wrong = 0
			for m.passed < end-time.Hour {
				pass(1, time.Hour)
				for what, id := range map[string]string{"before": before, "meanwhile": during, "the credential": credential} {
					if denied, ok := d.Snapshot().Denials().Find(id); !ok || !denied.Until.After(d.Ended()) {
						t.Fatalf("what was revoked %s is good again after %v: %v, %v", what, m.passed, denied, ok)
					}
				}
			}
			pass(30, time.Hour) // nor does it stay for ever
			for _, id := range []string{before, during} {
				if d.Snapshot().Denied(id) {
					t.Errorf("what was revoked is denied still after %v", m.passed)
				}
			}
		})
	}
}

// F112: the tokens of a service that a file removes are denied for as long as any of them can live, also one of an earlier
// setting.
func TestServiceThatAFileRemovesIsDeniedForAsLongAsItsTokensLive(t *testing.T) {
	db := open(t)
	long := load(t, db, directory.Options{MaxTokenTTL: 24 * time.Hour})
	if err := long.Begin(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	short := load(t, db, directory.Options{MaxTokenTTL: time.Minute})
	svc, err := short.CreateService(t.Context(), operator, directory.NewService{Name: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	b := directory.Batch{Base: short.Snapshot().Revision(), DeleteServices: []directory.Service{svc}}
	if _, err := short.Apply(t.Context(), operator, b, "callmap.apply", ""); err != nil {
		t.Fatal(err)
	}
	denied, _ := short.Snapshot().Denials().Find(directory.FormatUID(svc.UID))
	if left := time.Until(denied.Until); left < 23*time.Hour {
		t.Errorf("its tokens are denied for %v", left)
	}
}
