package keys

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// JWK-002.
func TestKeySetIsPublishedForCaches(t *testing.T) {
	now := start
	r := loaded(t, at(&now), Options{})
	server := httptest.NewServer(http.HandlerFunc(r.ServeJWKS))
	defer server.Close()
	ask := func(method string, header http.Header) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
		must(t, err)
		req.Header = header
		res, err := server.Client().Do(req)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		res.Body.Close()
		return res, string(body)
	}
	want, etag, maxAge := r.JWKS()
	if maxAge != 5*time.Minute || maxAge > DefaultLead/2 {
		t.Errorf("max-age is %v", maxAge)
	}
	// Nothing an attacker sends may show in what a shared cache keeps.
	res, body := ask("GET", http.Header{
		"X-Forwarded-Host": {"evil.example"}, "Origin": {"https://evil.example"}, "Cookie": {"a=b"},
		"Accept": {"text/html"}, "Accept-Encoding": {"gzip"},
	})
	if res.StatusCode != 200 || body != string(want) {
		t.Errorf("got %s and %s", res.Status, body)
	}
	for name, value := range map[string]string{
		"Cache-Control": "public, max-age=300", "Etag": etag, "Content-Type": "application/json",
		"Access-Control-Allow-Origin": "*", "Vary": "", "Set-Cookie": "", "X-Content-Type-Options": "nosniff",
	} {
		if got := strings.Join(res.Header.Values(name), "|"); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if res, body := ask("HEAD", nil); res.StatusCode != 200 || body != "" || res.ContentLength != int64(len(want)) {
		t.Errorf("HEAD: %s, %d bytes announced, %q", res.Status, res.ContentLength, body)
	}
	for _, c := range []struct {
		ifNoneMatch []string
		status      int
	}{
		{[]string{etag}, 304},
		{[]string{"W/" + etag}, 304},
		{[]string{`"x", ` + etag}, 304},
		{[]string{`"x"`, etag}, 304},
		{[]string{"*"}, 304},
		{[]string{`"x"`}, 200},
		{[]string{strings.Trim(etag, `"`)}, 200},
		{nil, 200},
	} {
		res, body := ask("GET", http.Header{"If-None-Match": c.ifNoneMatch})
		if res.StatusCode != c.status || (body == "") != (c.status == 304) || res.Header.Get("ETag") != etag || res.Header.Get("Cache-Control") == "" {
			t.Errorf("If-None-Match %q: got %s with %d bytes, want %d", c.ifNoneMatch, res.Status, len(body), c.status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if res, _ := ask(method, nil); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: got %s, Allow %q", method, res.Status, res.Header.Get("Allow"))
		}
	}
}

func TestEntityTagChangesWithTheKeysOnly(t *testing.T) {
	now := start
	m := at(&now)
	r := loaded(t, m, Options{})
	body, etag, _ := r.JWKS()
	replica := loaded(t, m, Options{})
	if again, same, _ := replica.JWKS(); same != etag || !bytes.Equal(again, body) {
		t.Error("another replica publishes the same keys in other bytes")
	}
	_, err := r.Rotate(t.Context(), operator, UseCredential, "", false)
	must(t, err)
	if _, same, _ := r.JWKS(); same != etag {
		t.Error("the tag changed with a key that is not published")
	}
	_, err = r.Rotate(t.Context(), operator, UseAccess, "", true)
	must(t, err)
	must(t, r.step(t.Context()))
	if _, changed, _ := r.JWKS(); changed == etag {
		t.Error("the tag did not change with the keys")
	}
}

func TestRingThatIsNotLoadedPublishesNothing(t *testing.T) {
	now := start
	r := NewRing(at(&now), sealerOf(t, keyLine(1)), Options{})
	w := httptest.NewRecorder()
	r.ServeJWKS(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 503 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %d, Cache-Control %q", w.Code, w.Header().Get("Cache-Control"))
	}
}

func TestMaxAgeIsLessThanHalfTheLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lead := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "lead"))
		r := NewRing(nil, nil, Options{Lead: lead})
		if r.maxAge < time.Minute || r.maxAge > 5*time.Minute || 2*r.maxAge > r.policy.Lead-spread {
			t.Errorf("lead %v: max-age is %v", r.policy.Lead, r.maxAge)
		}
	})
}

// fleet is replicas on one store and verifiers that keep the key set as long as they may.
type fleet struct {
	now      time.Time
	store    *memory
	replicas []*Ring
	polls    []time.Time // when each replica looks at the store next
	caches   []cache
	issued   []signature

	// publishedBy counts the replicas that publish a key, and since when all of them do.
	everywhere map[string]time.Time
	signed     map[string]bool
}

type cache struct {
	kids map[string]bool
	at   time.Time
}

type signature struct {
	kid   string
	until time.Time
}

// ROT-001: verifiers that never look early, replicas that hear of changes as late as they
// may, rotations by schedule and on demand: no verification fails, and no key signs before
// it was published everywhere for twice the time a cache may keep.
func TestRotationIsInvisibleToVerifiers(t *testing.T) {
	sealer := sealerOf(t, keyLine(1))
	rapid.Check(t, func(t *rapid.T) {
		minutes := func(name string, least, most int) time.Duration {
			return time.Duration(rapid.IntRange(least, most).Draw(t, name)) * time.Minute
		}
		ttl := minutes("ttl", 1, 40)
		o := Options{Lead: minutes("lead", 5, 30), RotateEvery: minutes("every", 1, 90), MaxTokenTTL: ttl}
		f := &fleet{now: start, everywhere: map[string]time.Time{}, signed: map[string]bool{}, caches: make([]cache, 3)}
		f.store = at(&f.now)
		for range 3 {
			r := NewRing(f.store, sealer, o)
			if err := r.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.replicas, f.polls = append(f.replicas, r), append(f.polls, start)
		}
		for range rapid.IntRange(20, 400).Draw(t, "events") {
			f.pass(t, time.Duration(rapid.IntRange(0, 120).Draw(t, "seconds"))*time.Second)
			r := rapid.SampledFrom(f.replicas).Draw(t, "replica")
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				if _, err := r.Rotate(t.Context(), operator, "", "", false); err != nil {
					t.Fatal(err)
				}
				f.look()
			case 1, 2, 3:
				f.sign(t, r, ttl)
			default:
				f.verify(t)
			}
		}
	})
}

// pass lets time go by; replicas look at the store at moments of their own.
func (f *fleet) pass(t *rapid.T, d time.Duration) {
	end := f.now.Add(d)
	for {
		i := 0
		for j, p := range f.polls {
			if p.Before(f.polls[i]) {
				i = j
			}
		}
		if f.polls[i].After(end) {
			f.now = end
			return
		}
		f.now = later(f.now, f.polls[i])
		if err := f.replicas[i].step(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.look()
		late := time.Duration(rapid.IntRange(1, int(pollEvery+maxPause)/int(time.Second)).Draw(t, "late")) * time.Second
		f.polls[i] = f.now.Add(late)
	}
}

// look notes which keys all replicas publish.
func (f *fleet) look() {
	count := map[string]int{}
	for _, r := range f.replicas {
		for kid := range published(r) {
			count[kid]++
		}
	}
	for kid, n := range count {
		if _, known := f.everywhere[kid]; !known && n == len(f.replicas) {
			f.everywhere[kid] = f.now
		}
	}
}

func published(r *Ring) map[string]bool {
	body, _, _ := r.JWKS()
	var set struct {
		Keys []struct {
			Kid string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		panic(err)
	}
	kids := map[string]bool{}
	for _, k := range set.Keys {
		kids[k.Kid] = true
	}
	return kids
}

func (f *fleet) sign(t *rapid.T, r *Ring, ttl time.Duration) {
	s, err := r.Signer(UseAccess, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	since, known := f.everywhere[s.ID()]
	if first := !f.signed[s.ID()] && len(f.signed) > 0; first && (!known || f.now.Sub(since) < 2*r.maxAge) {
		t.Fatalf("a key signs %v after all replicas published it (known: %v), max-age is %v", f.now.Sub(since), known, r.maxAge)
	}
	f.signed[s.ID()] = true
	f.issued = append(f.issued, signature{s.ID(), f.now.Add(ttl)})
	// The hardest moment for a new key: a verifier that has just not looked again.
	for i := range f.caches {
		f.check(t, i, s.ID())
	}
}

// verify checks any token that is still valid, counting leeway, at any verifier.
func (f *fleet) verify(t *rapid.T) {
	if len(f.issued) == 0 {
		return
	}
	s := rapid.SampledFrom(f.issued).Draw(t, "token")
	if f.now.After(s.until.Add(leeway)) {
		return
	}
	f.check(t, rapid.IntRange(0, len(f.caches)-1).Draw(t, "verifier"), s.kid)
}

func (f *fleet) check(t *rapid.T, i int, kid string) {
	c := &f.caches[i]
	r := f.replicas[i]
	if c.kids == nil || f.now.Sub(c.at) > r.maxAge {
		c.kids, c.at = published(r), f.now
	}
	if !c.kids[kid] {
		t.Fatalf("verifier %d does not know %s, its key set is %v old", i, kid, f.now.Sub(c.at))
	}
}
