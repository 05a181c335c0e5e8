package revocation_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/revocation"
)

// follower is what one who follows the list knows.
type follower struct {
	Issued   int64  `json:"iat"`
	Epoch    int64  `json:"epoch"`
	Revision int64  `json:"rev"`
	State    string `json:"state"`
	denied   map[string]bool
	keys     []string
	fetched  int // bytes
	wholes   int
}

// poll asks once, as package verify does, and reports whether what came was a fitting answer.
func (f *follower) poll(t testing.TB, p *revocation.Publisher, wait int) bool {
	t.Helper()
	q := url.Values{"wait": {strconv.Itoa(wait)}}
	if f.State != "" {
		q.Set("since", f.State)
		q.Set("epoch", strconv.FormatInt(f.Epoch, 10))
		q.Set("rev", strconv.FormatInt(f.Revision, 10))
	}
	w, err := ask(p, httptest.NewRequest(http.MethodGet, revocation.DenyListPath+"?"+q.Encode(), nil), true)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("got %d, %v", w.Code, err)
	}
	token, err := jose.ParseLong(w.Body.String(), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		follower
		From   string   `json:"from"`
		Denied []string `json:"denied"`
		Add    []string `json:"add"`
		Remove []string `json:"remove"`
		Keys   []string `json:"keys"`
	}
	if err := json.Unmarshal(token.Payload, &m); err != nil {
		t.Fatal(err)
	}
	f.fetched += w.Body.Len()
	switch typ := w.Header().Get("Content-Type"); {
	case typ == "application/jwt" && token.Type == "denylist+jwt":
		f.denied = map[string]bool{}
		f.wholes++
	case typ == "application/denylist-update+jwt" && token.Type == "denylist-update+jwt":
		if m.From != f.State {
			return false
		}
	default:
		t.Fatalf("got %q and %q", typ, token.Type)
	}
	for _, id := range m.Remove {
		if !f.denied[id] {
			t.Errorf("%q is removed and was not there", id)
		}
		delete(f.denied, id)
	}
	for _, id := range append(m.Denied, m.Add...) {
		if f.denied[id] {
			t.Errorf("%q is added and was there", id)
		}
		f.denied[id] = true
	}
	f.Issued, f.Epoch, f.Revision, f.State, f.keys = m.Issued, m.Epoch, m.Revision, m.State, m.Keys
	return true
}

func (f *follower) ids() []string { return slices.Sorted(maps.Keys(f.denied)) }

func until(ids ...string) (all []directory.Revocation) {
	for _, id := range ids {
		all = append(all, directory.Revocation{ID: id, Until: time.Now().Add(day)})
	}
	return all
}

// F01. Whatever is revoked and forgotten, and however rarely a follower asks, it knows what the whole list says.
func TestUpdatesLeadToTheWholeList(t *testing.T) {
	s := newState(t)
	p := publish(t, s, s, options())
	often, seldom := &follower{}, &follower{}
	random := rand.New(rand.NewPCG(1, 2))
	ids := map[string]bool{}
	for n := range 600 {
		for range random.IntN(4) {
			id := fmt.Sprint("id", random.IntN(300))
			if ids[id] = !ids[id]; !ids[id] {
				delete(ids, id)
			}
		}
		s.deny(until(slices.Sorted(maps.Keys(ids))...)...)
		if err := p.Load(); err != nil {
			t.Fatal(err)
		}
		often.poll(t, p, 0)
		if n%37 == 0 {
			seldom.poll(t, p, 0)
		}
		if got, want := often.ids(), slices.Sorted(maps.Keys(ids)); !slices.Equal(got, want) {
			t.Fatalf("after %d changes: got %q, want %q", n, got, want)
		}
	}
	seldom.poll(t, p, 0)
	if want := read(t, p, nil).Denied; !slices.Equal(seldom.ids(), want) || !slices.Equal(often.ids(), want) {
		t.Errorf("got %q and %q, want %q", seldom.ids(), often.ids(), want)
	}
	if often.wholes != 1 || seldom.wholes != 1 {
		t.Errorf("the whole list was fetched %d and %d times", often.wholes, seldom.wholes)
	}
}

// F01. A change costs a follower what changed, not the list.
func TestUpdateOfALongListIsShort(t *testing.T) {
	s := newState(t)
	var ids []string
	for range 20_000 {
		ids = append(ids, directory.RandomID())
	}
	s.deny(until(ids...)...)
	p := publish(t, s, s, options())
	f := &follower{}
	f.poll(t, p, 0)
	whole := f.fetched
	s.deny(until(append(ids, directory.RandomID())...)...)
	if err := p.Load(); err != nil {
		t.Fatal(err)
	}
	if f.poll(t, p, 0); f.wholes != 1 || f.fetched-whole > 1000 || len(f.denied) != 20_001 {
		t.Errorf("the update has %d bytes, the list %d", f.fetched-whole, whole)
	}
}

// A follower that is too far behind, or comes from elsewhere, gets the whole list.
func TestFollowerFarBehindGetsTheWholeList(t *testing.T) {
	s := newState(t)
	p := publish(t, s, s, options())
	f := &follower{}
	f.poll(t, p, 0)
	for n := range 600 { // more steps than are kept
		s.deny(until(fmt.Sprint(n))...)
		if err := p.Load(); err != nil {
			t.Fatal(err)
		}
	}
	if f.poll(t, p, 0); f.wholes != 2 || !slices.Equal(f.ids(), []string{"599"}) {
		t.Errorf("got %q, %d whole lists", f.ids(), f.wholes)
	}
	stranger := &follower{State: "never heard of", denied: map[string]bool{}}
	if stranger.poll(t, p, 20); stranger.wholes != 1 {
		t.Error("a state that never was is answered with an update")
	}
}

// F23. That nothing has changed is said in a signed statement of now.
func TestNothingNewIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t)
		p := publish(t, s, s, options())
		f := &follower{}
		f.poll(t, p, 0)
		for range 3 {
			began := time.Now()
			if !f.poll(t, p, 5) || f.wholes != 1 {
				t.Fatal("no update")
			}
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("answered after %v", took)
			}
			if age := time.Since(time.Unix(f.Issued, 0)); age >= 2*time.Second {
				t.Errorf("the statement is %v old", age)
			}
		}
		before := s.signatures()
		for range 1000 {
			f.poll(t, p, 0)
		}
		if n := s.signatures() - before; n > 1 {
			t.Errorf("1000 followers cost %d signatures", n)
		}
	})
}

// Replicas that make lists of different changes at once agree on the state, so that a follower can go to either.
func TestReplicasContinueEachOthersUpdates(t *testing.T) {
	a, b := newState(t), newState(t)
	one, other := publish(t, a, a, options()), publish(t, b, b, options())
	f := &follower{}
	f.poll(t, one, 0)
	for n, ids := range [][]string{{"a"}, {"a", "b"}, {"b"}, {"b", "c", "d"}, {}} {
		for _, s := range []*state{a, b} {
			s.deny(until(ids...)...)
		}
		for _, p := range []*revocation.Publisher{one, other} {
			if err := p.Load(); err != nil {
				t.Fatal(err)
			}
		}
		if f.poll(t, []*revocation.Publisher{one, other}[n%2], 0); f.wholes != 1 || !slices.Equal(f.ids(), slices.Sorted(slices.Values(ids))) {
			t.Errorf("step %d: got %q after %d whole lists", n, f.ids(), f.wholes)
		}
	}
}

// A replica that is late does not send back what its follower knows already.
func TestLateReplicaSendsNoList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t)
		p := publish(t, s, s, options())
		go p.Run(t.Context())
		f := &follower{State: "ahead", Revision: 10, denied: map[string]bool{"x": true}}
		if fits := f.poll(t, p, 3); fits || f.wholes != 0 {
			t.Errorf("fits %v, %d whole lists", fits, f.wholes)
		}
	})
}

// What has ended leaves the list, and followers hear of it.
func TestWhatHasEndedIsRemovedAtTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t)
		now := time.Now()
		s.deny(directory.Revocation{ID: "ends", Until: now.Add(time.Minute)}, directory.Revocation{ID: "lasts", Until: now.Add(3 * time.Hour)})
		p := publish(t, s, s, options())
		go p.Run(t.Context())
		f := &follower{}
		f.poll(t, p, 0)
		time.Sleep(time.Hour + time.Second) // on the bubble's clock
		synctest.Wait()
		if f.poll(t, p, 0); f.wholes != 1 || !slices.Equal(f.ids(), []string{"lasts"}) {
			t.Errorf("got %q after %d whole lists", f.ids(), f.wholes)
		}
	})
}
