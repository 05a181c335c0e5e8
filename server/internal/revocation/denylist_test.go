package revocation_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/revocation"
	"github.com/watchword-dev/watchword/server/internal/web"
)

func TestDenyListNamesAllThatIsRevoked(t *testing.T) {
	r := open(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var uids []string
	for _, name := range []string{"off", "gone", "good"} {
		svc, err := r.dir.CreateService(ctx, operator, directory.NewService{Name: name})
		must(err)
		uids = append(uids, directory.FormatUID(svc.UID))
	}
	stolen, err := r.dir.AddCredential(ctx, operator, "good", directory.NewCredential{})
	must(err)
	kept, err := r.dir.AddCredential(ctx, operator, "good", directory.NewCredential{})
	must(err)
	p := publish(t, r.dir, r.ring, options())
	empty := read(t, p, r.ring.Verifiers(keys.UseAccess))
	if len(empty.Denied)+len(empty.Keys) != 0 || empty.Denied == nil || empty.Keys == nil {
		t.Errorf("nothing is revoked: got %+v", empty)
	}

	_, err = r.dir.UpdateService(ctx, operator, "off", directory.AnyVersion, func(s *directory.Service) { s.Disabled = true })
	must(err)
	must(r.dir.DeleteService(ctx, operator, "gone", directory.AnyVersion))
	_, err = r.dir.RevokeCredential(ctx, operator, stolen.ID)
	must(err)
	jti := directory.RandomID()
	must(r.dir.RevokeToken(ctx, operator, jti, time.Now().Add(time.Hour), ""))
	_, err = r.ring.Revoke(ctx, operator, empty.kid)
	must(err)
	must(p.Load())

	got := read(t, p, r.ring.Verifiers(keys.UseAccess))
	want := []string{uids[0], uids[1], stolen.ID, jti}
	slices.Sort(want)
	if !slices.Equal(got.Denied, want) || !slices.Equal(got.Keys, []string{empty.kid}) {
		t.Errorf("got %v and keys %v, want %v and %v", got.Denied, got.Keys, want, empty.kid)
	}
	if got.Issuer != issuerURL || !slices.Equal(got.Issuers, []string{issuerURL, "auth-server"}) ||
		got.Expiry-got.IssuedAt != 24*60*60 || got.Revision != r.dir.Snapshot().Revision() {
		t.Errorf("got %+v", got)
	}
	if got.kid == empty.kid {
		t.Error("the revoked key signs the list that revokes it")
	}

	_, err = r.dir.UpdateService(ctx, operator, "off", directory.AnyVersion, func(s *directory.Service) { s.Disabled = false })
	must(err)
	must(p.Load())
	if got := read(t, p, nil); slices.Contains(got.Denied, uids[0]) || slices.Contains(got.Denied, kept.ID) {
		t.Errorf("what is not revoked is denied: %v", got.Denied)
	}
}

// Nothing is read, sorted or signed for a change of something else.
func TestOtherChangesMakeNoNewList(t *testing.T) {
	r := open(t)
	p := publish(t, r.dir, r.ring, options())
	before := revocation.Edition(p)
	for n := range 5 {
		name := fmt.Sprintf("m%d", n)
		if _, err := r.dir.CreateService(t.Context(), operator, directory.NewService{Name: name}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.dir.Allow(t.Context(), operator, name, "m0", directory.NewRule{}, 0); err != nil {
			t.Fatal(err)
		}
		if err := p.Load(); err != nil {
			t.Fatal(err)
		}
	}
	if revocation.Edition(p) != before {
		t.Error("another list was made")
	}
}

// Replicas answer each other's pollers with 304.
func TestReplicasAgreeOnTheTag(t *testing.T) {
	a, b := newState(t), newState(t)
	revoked := directory.Revocation{ID: "aa", Until: time.Now().Add(day)}
	a.deny(revoked, directory.Revocation{ID: "bb", Until: time.Now().Add(day)})
	b.deny(directory.Revocation{ID: "bb", Until: time.Now().Add(day)}, revoked)
	one, other := publish(t, a, a, options()), publish(t, b, b, options())
	first, second := read(t, one, nil), read(t, other, nil)
	if first.etag != second.etag || first.kid == second.kid {
		t.Errorf("got %+v and %+v", first, second)
	}
	r := httptest.NewRequest(http.MethodGet, revocation.DenyListPath, nil)
	r.Header.Set("If-None-Match", `"other", W/`+first.etag)
	if w, err := ask(other, r, true); err != nil || w.Code != http.StatusNotModified || w.Body.Len() != 0 || w.Header().Get("ETag") != first.etag {
		t.Errorf("got %d %v %v", w.Code, w.Header(), err)
	}
	b.deny(revoked)
	if err := other.Load(); err != nil {
		t.Fatal(err)
	}
	if w, err := ask(other, r, true); err != nil || w.Code != http.StatusOK {
		t.Errorf("of another list: got %d %v", w.Code, err)
	}
}

func TestOddRequestsForTheDenyList(t *testing.T) {
	s := newState(t)
	p := publish(t, s, s, options())
	for query, want := range map[string]int{
		"": 200, "wait=": 200, "wait=0": 200, "wait=25": 200, "wait=65535": 200, "other=1": 200,
		"wait=-1": 400, "wait=1.5": 400, "wait=x": 400, "wait=99999999999999999999": 400, "wait=1&wait=2": 400, "wait=%zz": 400, "wait=1;2": 400,
	} {
		r := httptest.NewRequest(http.MethodGet, revocation.DenyListPath, nil)
		r.URL.RawQuery = query
		w, err := ask(p, r, true)
		if got := status(w, err); got != want {
			t.Errorf("?%s: got %d, want %d", query, got, want)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X"} {
		var e *web.Error
		_, err := ask(p, httptest.NewRequest(method, revocation.DenyListPath, nil), true)
		if !errors.As(err, &e) || e.Status != 405 || e.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: got %v", method, err)
		}
	}
	if w, err := ask(p, httptest.NewRequest(http.MethodHead, revocation.DenyListPath, nil), true); status(w, err) != 200 {
		t.Errorf("HEAD: got %d %v", w.Code, err)
	}
	if w, err := ask(revocation.New(s, s, options()), httptest.NewRequest(http.MethodGet, revocation.DenyListPath, nil), true); status(w, err) != 503 {
		t.Errorf("before Load: got %d %v", w.Code, err)
	}
	s.stale = directory.ErrStale
	if w, err := ask(p, httptest.NewRequest(http.MethodGet, revocation.DenyListPath, nil), true); status(w, err) != 503 {
		t.Errorf("cut off from the store: got %d %v", w.Code, err)
	}
}

func status(w *httptest.ResponseRecorder, err error) int {
	if e, ok := errors.AsType[*web.Error](err); ok {
		return e.Status
	}
	return w.Code
}

// waiter asks with the current tag and tells when and what it was answered.
type waiter struct {
	code int
	took time.Duration
}

func wait(t testing.TB, p *revocation.Publisher, query string) <-chan waiter {
	r := httptest.NewRequest(http.MethodGet, revocation.DenyListPath+query, nil).WithContext(t.Context())
	r.Header.Set("If-None-Match", read(t, p, nil).etag)
	answered := make(chan waiter, 1)
	go func() {
		began := time.Now()
		w, err := ask(p, r, true)
		answered <- waiter{status(w, err), time.Since(began)}
	}()
	return answered
}

func TestWaitingEndsWithTheChangeOrTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t)
		p := publish(t, s, s, options())
		go p.Run(t.Context())
		short, long, tooLong := wait(t, p, "?wait=2"), wait(t, p, "?wait=25"), wait(t, p, "?wait=600")
		time.Sleep(3 * time.Second) // on the bubble's clock
		s.deny(directory.Revocation{ID: "aa", Until: time.Now().Add(day)})
		p.Changed()
		if got, want := <-short, (waiter{304, 2 * time.Second}); got != want {
			t.Errorf("its time was over: got %v, want %v", got, want)
		}
		for _, w := range []<-chan waiter{long, tooLong} {
			if got, want := <-w, (waiter{200, 3 * time.Second}); got != want {
				t.Errorf("with the change: got %v, want %v", got, want)
			}
		}
		if got, want := <-wait(t, p, "?wait=600"), (waiter{304, 25 * time.Second}); got != want {
			t.Errorf("the longest wait: got %v, want %v", got, want)
		}
	})
}

func TestWaitingGoesOnWhileTheListSaysTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t)
		p := publish(t, s, s, options())
		go p.Run(t.Context())
		waiting := wait(t, p, "?wait=20")
		before := read(t, p, nil)
		time.Sleep(time.Second)
		s.deny() // another snapshot that denies the same
		p.Changed()
		s.rotate(t)
		p.Changed()
		if got, want := <-waiting, (waiter{304, 20 * time.Second}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if after := read(t, p, nil); after.kid == before.kid || after.etag != before.etag {
			t.Errorf("after a rotation: got %+v, before %+v", after, before)
		}
	})
}

func TestWaitingEndsWhenTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t)
		p := publish(t, s, s, options())
		waiting := wait(t, p, "?wait=20")
		time.Sleep(time.Second)
		p.Drain()
		if got, want := <-waiting, (waiter{304, time.Second}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if got, want := <-wait(t, p, "?wait=20"), (waiter{304, 0}); got != want {
			t.Errorf("while it stops: got %v, want %v", got, want)
		}
	})
}

func TestWhoMayNotWaitIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t)
		p := publish(t, s, s, options())
		r := httptest.NewRequest(http.MethodGet, revocation.DenyListPath+"?wait=20", nil)
		r.Header.Set("If-None-Match", read(t, p, nil).etag)
		began := time.Now()
		if w, err := ask(p, r, false); status(w, err) != 304 || time.Since(began) != 0 {
			t.Errorf("got %d after %v", w.Code, time.Since(began))
		}
		// Nor may who has no way to put off the deadline.
		w := httptest.NewRecorder()
		p.Wait(w, r)
		if err := p.DenyList(w, r); status(w, err) != 304 || time.Since(began) != 0 {
			t.Errorf("got %d after %v", w.Code, time.Since(began))
		}
	})
}

func TestAListIsSignedAnewEveryHourWithoutWhatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t)
		now := time.Now()
		s.deny(
			directory.Revocation{ID: "ended", Until: now.Add(-time.Second)},
			directory.Revocation{ID: "ends", Until: now.Add(time.Minute)},
			directory.Revocation{ID: "lasts", Until: now.Add(3 * time.Hour)},
		)
		s.revoked = []keys.Record{
			{ID: "k1", Use: keys.UseAccess, State: keys.StateRevoked, RevokedAt: now.Add(-day + 90*time.Minute)},
			{ID: "k2", Use: keys.UseAccess, State: keys.StateRevoked, RevokedAt: now.Add(-day - time.Second)},
			{ID: "k3", Use: keys.UseAudit, State: keys.StateRevoked, RevokedAt: now},
			{ID: "k4", Use: keys.UseAccess, State: keys.StateRetiring},
		}
		p := publish(t, s, s, options())
		go p.Run(t.Context())
		for _, want := range []string{"[ends lasts] [k1]", "[lasts] [k1]", "[lasts] []", "[] []"} {
			l := read(t, p, nil)
			if got := fmt.Sprint(l.Denied, l.Keys); got != want {
				t.Errorf("%v later: got %s, want %s", time.Since(now), got, want)
			}
			if age := time.Since(time.Unix(l.IssuedAt, 0)); age > time.Hour {
				t.Errorf("the list is %v old", age)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
		}
	})
}

// docs/revocation.md states these sizes.
func TestTenThousandDenialsAreHalfAMegabyte(t *testing.T) {
	s := newState(t)
	var all []directory.Revocation
	for range 10_000 {
		all = append(all, directory.Revocation{ID: directory.RandomID(), Until: time.Now().Add(day)})
	}
	s.deny(all...)
	l := read(t, publish(t, s, s, options()), nil)
	if len(l.Denied) != 10_000 || l.size < 450_000 || l.size > 470_000 {
		t.Errorf("%d ids take %d bytes", len(l.Denied), l.size)
	}
}

// No id can make anything else of the list.
func TestIDsAreWrittenAsJSON(t *testing.T) {
	s := newState(t)
	odd := []string{`"`, `\`, `","x`, "\n", "\u2028é", strings.Repeat("x", 1000)}
	var all []directory.Revocation
	for _, id := range odd {
		all = append(all, directory.Revocation{ID: id, Until: time.Now().Add(day)})
	}
	s.deny(all...)
	got := read(t, publish(t, s, s, options()), nil).Denied
	slices.Sort(odd)
	if !slices.Equal(got, odd) {
		t.Errorf("got %q, want %q", got, odd)
	}
}
