package verify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// following is a verifier for m2 that follows the issuer's deny-list until the test ends.
func following(t *testing.T, i *verifytest.Issuer, changes ...func(*verify.Config)) *verify.Verifier {
	t.Helper()
	c := i.Config("m2")
	c.Revocations.URL, c.Logger = i.DenyListURL, quiet
	for _, change := range changes {
		change(&c)
	}
	v, err := verify.New(t.Context(), c)
	must(t, err)
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// A token is refused when something that it depends on is revoked, even if it was seen before, and not otherwise.
func TestRevokedTokensAreRefused(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := following(t, i)
	tokens := map[string]string{
		"jti":    i.Token("m1", "m2", verifytest.Claim("jti", "t1")),
		"caller": i.Token("m1", "m2", verifytest.DependsOn("svc_1", "c1")),
		"actor":  i.Token("m1", "m2", verifytest.Actors("m3"), verifytest.DependsOn("svc_9", "c9", "t0", "svc_3", "c3")),
		// F98: the service at which it is shown may be another one of the same name.
		"target":  i.Token("m1", "m2", verifytest.Claim("targets", []string{"svc_4"})),
		"neither": i.Token("m1", "m2", verifytest.DependsOn("svc_2", "c2"), verifytest.Claim("targets", []string{"svc_5"})),
	}
	for _, revoke := range []struct {
		id      string
		refuses []string
	}{
		{"unrelated", nil},
		{"t1", []string{"jti"}},
		{"svc_1", []string{"jti", "caller"}},
		{"t0", []string{"jti", "caller", "actor"}}, // the subject token of the exchange
		{"svc_4", []string{"jti", "caller", "actor", "target"}},
	} {
		i.Revoke(revoke.id)
		i.AwaitFollower()
		for name, token := range tokens {
			if slices.Contains(revoke.refuses, name) {
				refused(t, v, name+" after "+revoke.id, token, verify.ErrRevoked)
			} else {
				accepted(t, v, name+" after "+revoke.id, token)
			}
		}
	}
	w := serve(v.Middleware(whoCalls), get(), "Bearer "+tokens["jti"])
	if want := `Bearer realm="watchword", error="invalid_token", error_description="token has been revoked"`; w.Code != 401 || w.Header().Get("WWW-Authenticate") != want {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

// The key set at hand still has the key, and the token was seen under it. F113: so is what was exchanged for it, which
// another key signed.
func TestTokenOfARevokedKeyIsRefused(t *testing.T) {
	i := verifytest.NewIssuer(t)
	i.Publish("ES256") // the one that stands by
	v := following(t, i)
	token := i.Token("m1", "m2")
	accepted(t, v, "before", token)
	set, err := jose.ParseKeySet(i.KeySet())
	if err != nil {
		t.Fatal(err)
	}
	kid := set.Keys()[0].ID
	i.RevokeKey()
	i.AwaitFollower()
	refused(t, v, "after", token, verify.ErrRevoked)
	accepted(t, v, "of the next key", i.Token("m1", "m2"))
	refused(t, v, "exchanged for it", i.Token("m1", "m2", verifytest.Claim("dep_keys", []string{kid})), verify.ErrRevoked)
	accepted(t, v, "exchanged for another", i.Token("m1", "m2", verifytest.Claim("dep_keys", []string{"another"})))
	if i.Fetches() != 1 {
		t.Errorf("got %d fetches of keys, want the first alone", i.Fetches())
	}
}

// The list that revokes a key is signed by one that no verifier can know yet, when keys are revoked
// one after the other.
func TestKeysRevokedOneAfterTheOtherArriveWithinASecond(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, direct func(*verify.Config)) {
		v := following(t, i, direct)
		for n := range 5 {
			token := i.Token("m1", "m2")
			accepted(t, v, fmt.Sprint("before ", n), token)
			i.RevokeKey()
			pass(time.Second)
			refused(t, v, fmt.Sprint("a second after ", n), token, verify.ErrRevoked)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
}

// handler answers requests without a network, so that a synctest bubble can hold it all.
type handler struct{ http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func directly(t *testing.T, run func(t *testing.T, i *verifytest.Issuer, direct func(*verify.Config))) {
	i := verifytest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		run(t, i, func(c *verify.Config) { c.HTTPClient = &http.Client{Transport: handler{i}} })
	})
}

func TestRevocationArrivesWithinASecond(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, direct func(*verify.Config)) {
		v := following(t, i, direct)
		for n := range 200 {
			pass(time.Duration(n) * 777 * time.Millisecond) // at any point of a request being held
			id := fmt.Sprint("t", n)
			token := i.Token("m1", "m2", verifytest.Claim("jti", id))
			accepted(t, v, "before", token)
			i.Revoke(id)
			pass(time.Second)
			refused(t, v, "a second later", token, verify.ErrRevoked)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Last-good counts while the server is away; with a bound, nothing does beyond it.
func TestServerThatIsAway(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, direct func(*verify.Config)) {
		closing := func(c *verify.Config) { c.Revocations.FailClosedAfter = time.Minute }
		open, closed := following(t, i, direct), following(t, i, direct, closing)
		i.Revoke("t1")
		pass(time.Second)
		i.SetDown(true)
		fresh := func() string { return i.Token("m1", "m2") }
		denied := i.Token("m1", "m2", verifytest.Claim("jti", "t1"))

		pass(50 * time.Second)
		for _, v := range []*verify.Verifier{open, closed} {
			refused(t, v, "away for 50 s", denied, verify.ErrRevoked)
			accepted(t, v, "away for 50 s", fresh())
		}
		pass(11 * time.Second)
		refused(t, open, "away for 61 s", denied, verify.ErrRevoked)
		accepted(t, open, "away for 61 s", fresh())
		refused(t, closed, "away for 61 s", fresh(), verify.ErrRevocationsStale)
		if w := serve(closed.Middleware(whoCalls), get(), "Bearer "+fresh()); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("got %d %v", w.Code, w.Header())
		}
		i.SetDown(false)
		pass(11 * time.Second) // the longest pause between two tries
		accepted(t, closed, "back", fresh())
		pass(time.Hour) // nothing changes, and the server says so
		accepted(t, closed, "an hour later", fresh())

		i.SetDown(true)
		accepted(t, following(t, i, direct, withKeys(i)), "a list there never was", fresh())
		refused(t, following(t, i, direct, withKeys(i), closing), "a list there never was", fresh(), verify.ErrRevocationsStale)
		i.SetDown(false)
	})
}

// With a cache file the list outlives the process, however long the server is away.
func TestRevocationsOutliveARestart(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, direct func(*verify.Config)) {
		file := filepath.Join(t.TempDir(), "denylist")
		cached := func(c *verify.Config) { c.Revocations.CacheFile = file }
		i.Revoke("t1")
		token := i.Token("m1", "m2", verifytest.Claim("jti", "t1"), verifytest.Claim("exp", time.Now().Add(100*time.Hour).Unix()))
		refused(t, following(t, i, direct, cached), "fetched", token, verify.ErrRevoked)
		i.SetDown(true)
		pass(48 * time.Hour)
		again := following(t, i, direct, withKeys(i), cached)
		refused(t, again, "after a restart", token, verify.ErrRevoked)
		accepted(t, again, "another token", i.Token("m1", "m2"))
		i.SetDown(false)
		i.Revoke("t2")
		pass(11 * time.Second)
		refused(t, again, "the server is back", i.Token("m1", "m2", verifytest.Claim("jti", "t2")), verify.ErrRevoked)

		must(t, os.WriteFile(file, []byte("not a list"), 0o600))
		i.SetDown(true)
		accepted(t, following(t, i, direct, withKeys(i), cached), "a broken file", token)
		i.SetDown(false)
	})
}

func withKeys(i *verifytest.Issuer) func(*verify.Config) {
	return func(c *verify.Config) { c.JWKSURL, c.Keys = "", i.KeySet() }
}

// A list is believed as a token is: by its signature, type, issuer and age. What is not believed
// changes nothing.
func TestListsThatAreNotBelieved(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, _ func(*verify.Config)) {
		now := time.Now()
		list := func(changes map[string]any, options ...verifytest.Option) string {
			c := map[string]any{"iss": i.URL, "issuers": []string{i.Name}, "iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(), "rev": 7, "denied": []string{"t1"}, "keys": []string{}, "sub": nil, "aud": nil, "jti": nil}
			for name, value := range changes {
				c[name] = value
			}
			options = append([]verifytest.Option{verifytest.Type("denylist+jwt")}, options...)
			for name, value := range c {
				options = append(options, verifytest.Claim(name, value))
			}
			return i.Token("", "", options...)
		}
		many := []string{"t1"}
		for n := range 5000 {
			many = append(many, fmt.Sprintf("%032x", n))
		}
		for _, c := range []struct {
			name, body string
			believed   bool
		}{
			{"good", list(nil), true},
			{"with 5,000 ids", list(map[string]any{"denied": many}), true},
			{"of the server by its URL", list(map[string]any{"iss": i.Name, "issuers": nil}), true},
			{"forged", list(nil, verifytest.Forged()), false},
			{"an access token", list(nil, verifytest.Type("at+jwt")), false},
			{"a status list", list(nil, verifytest.Type("statuslist+jwt")), false},
			{"of another issuer", list(map[string]any{"iss": "https://other.example", "issuers": []string{"https://other.example"}}), false},
			{"expired", list(map[string]any{"exp": now.Unix()}), false},
			{"without exp", list(map[string]any{"exp": nil}), false},
			{"of a lower revision", list(map[string]any{"rev": 4}), false},
			{"of a lower revision, made later", list(map[string]any{"rev": 4, "iat": now.Unix() + 60}), false},
			{"of a later epoch: the database was put back to a backup", list(map[string]any{"rev": 4, "epoch": 1}), true},
			{"an update that begins elsewhere", list(map[string]any{"from": "x", "state": "y", "add": []string{"t1"}, "denied": nil}, verifytest.Type("denylist-update+jwt")), false},
			{"an update of an expired time", list(map[string]any{"from": "s5", "state": "y", "add": []string{"t1"}, "remove": []string{"t0"}, "denied": nil, "exp": now.Unix()}, verifytest.Type("denylist-update+jwt")), false},
			{"an update", list(map[string]any{"from": "s5", "state": "y", "add": []string{"t1"}, "remove": []string{"t0"}, "denied": nil}, verifytest.Type("denylist-update+jwt")), true},
			{"a forged update", list(map[string]any{"from": "s5", "state": "y", "add": []string{"t1"}, "remove": []string{"t0"}, "denied": nil}, verifytest.Type("denylist-update+jwt"), verifytest.Forged()), false},
			{"not a token", "[]", false},
			{"without a signature", strings.TrimRight(list(nil), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), false},
			{"of 65 MiB", strings.Repeat("A", 65<<20), false},
		} {
			answers := []string{list(map[string]any{"rev": 5, "denied": []string{"t0"}, "state": "s5"}), c.body}
			server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if len(answers) == 0 {
					<-r.Context().Done()
					return
				}
				w.Header().Set("ETag", `"x"`)
				_, _ = w.Write([]byte(answers[0]))
				answers = answers[1:]
			})
			v := following(t, i, withKeys(i), func(cfg *verify.Config) { cfg.HTTPClient = &http.Client{Transport: handler{server}} })
			pass(5 * time.Second)
			t0, t1 := i.Token("m1", "m2", verifytest.Claim("jti", "t0")), i.Token("m1", "m2", verifytest.Claim("jti", "t1"))
			if c.believed {
				accepted(t, v, c.name+": t0", t0)
				refused(t, v, c.name+": t1", t1, verify.ErrRevoked)
			} else {
				refused(t, v, c.name+": t0", t0, verify.ErrRevoked)
				accepted(t, v, c.name+": t1", t1)
			}
			_ = v.Close()
		}
	})
}

// A stolen key that was revoked signs neither tokens nor a list that takes its revocation back.
func TestRevokedKeyCannotTakeItBack(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, _ func(*verify.Config)) {
		token := i.Token("m1", "m2")
		set, err := jose.ParseKeySet(i.KeySet())
		must(t, err)
		stolen := set.Keys()[0].ID
		signed := func(revision int, keys ...string) string {
			return i.Token("", "", verifytest.Type("denylist+jwt"), verifytest.Claim("issuers", []string{i.Name}), verifytest.Claim("rev", revision), verifytest.Claim("keys", append([]string{}, keys...)))
		}
		takenBack := signed(9)
		i.Publish("ES256")
		i.Activate()
		answers := []string{signed(1, stolen), takenBack}
		server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(answers) == 0 {
				<-r.Context().Done()
				return
			}
			_, _ = w.Write([]byte(answers[0]))
			answers = answers[1:]
		})
		v := following(t, i, withKeys(i), func(cfg *verify.Config) { cfg.HTTPClient = &http.Client{Transport: handler{server}} })
		pass(5 * time.Second)
		if len(answers) != 0 {
			t.Fatalf("%d answers were not asked for", len(answers))
		}
		refused(t, v, "of the stolen key", token, verify.ErrRevoked)
		accepted(t, v, "of the next key", i.Token("m1", "m2"))
		_ = v.Close()
	})
}

// F99: a thief of a key signs a list that says that it is newer than any other, and that revokes the key of the server.
// When the stolen key is revoked, the lists of the server count again.
func TestListOfAStolenKeyEndsWithTheKey(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, _ func(*verify.Config)) {
		i.Publish("ES256")
		set, err := jose.ParseKeySet(i.KeySet())
		must(t, err)
		stolen, next := set.Keys()[0].ID, set.Keys()[1].ID
		signed := func(epoch int64, denied, key string) string {
			return i.Token("", "", verifytest.Type("denylist+jwt"), verifytest.Claim("issuers", []string{i.Name}), verifytest.Claim("epoch", epoch),
				verifytest.Claim("denied", []string{denied}), verifytest.Claim("keys", []string{key}))
		}
		lists := make(chan string, 2)
		server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/denylist") {
				i.ServeHTTP(w, r)
				return
			}
			select {
			case l := <-lists:
				_, _ = w.Write([]byte(l))
			case <-r.Context().Done():
			}
		})
		lists <- signed(1<<60, "none", next)
		v := following(t, i, func(cfg *verify.Config) { cfg.HTTPClient = &http.Client{Transport: handler{server}} })
		pass(time.Second)
		i.Activate()
		token := i.Token("m1", "m2", verifytest.DependsOn("svc_1", "c1"))
		refused(t, v, "by the list of the thief", token, verify.ErrRevoked)
		lists <- signed(1, "svc_2", stolen)
		pass(time.Minute)
		refused(t, v, "while the stolen key is published", token, verify.ErrRevoked)
		i.Withdraw()
		lists <- signed(1, "svc_2", stolen)
		pass(time.Minute)
		accepted(t, v, "when the stolen key is revoked", token)
		refused(t, v, "when the stolen key is revoked", i.Token("m1", "m2", verifytest.DependsOn("svc_2", "c1")), verify.ErrRevoked)
		_ = v.Close()
	})
}

// slowBody delivers so many bytes each tenth of a second, and then nothing for ever if it stalls.
type slowBody struct {
	ctx    context.Context
	text   string
	stalls bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.text == "" && !b.stalls {
		return 0, io.EOF
	}
	wait := time.NewTimer(100 * time.Millisecond)
	defer wait.Stop()
	for b.text == "" {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	select {
	case <-wait.C:
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
	n := copy(p[:min(len(p), 32<<10)], b.text)
	b.text = b.text[n:]
	return n, nil
}

func (b *slowBody) Close() error { return nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// F92: a long list arrives over a slow link, and one that stalls does not hold up the next.
func TestLongListOverASlowLink(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, _ func(*verify.Config)) {
		denied := make([]string, 60_000)
		for n := range denied {
			denied[n] = fmt.Sprintf("%032x", n)
		}
		list := i.Token("", "", verifytest.Type("denylist+jwt"), verifytest.Claim("issuers", []string{i.Name}), verifytest.Claim("denied", denied), verifytest.Claim("keys", []string{}))
		asked := 0
		v := following(t, i, withKeys(i), func(cfg *verify.Config) {
			cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				body := &slowBody{r.Context(), list, false}
				if asked++; asked == 1 {
					body.text, body.stalls = list[:len(list)/2], true
				}
				if asked > 2 {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r}, nil
			})}
		})
		pass(time.Minute)
		refused(t, v, "by the long list", i.Token("m1", "m2", verifytest.DependsOn(denied[59_999])), verify.ErrRevoked)
		_ = v.Close()
	})
}

// VER-031, with revocations: no race, and no answer but the right one.
func TestVerifyingWhileRevocationsArrive(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := following(t, i)
	good := i.Token("m1", "m2")
	var tokens []string
	for n := range 20 {
		tokens = append(tokens, i.Token("m1", "m2", verifytest.Claim("jti", fmt.Sprint("t", n))))
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				accepted(t, v, "never revoked", good)
				for _, token := range tokens {
					_, _ = v.Verify(t.Context(), token)
				}
			}
		})
	}
	for n, token := range tokens[:5] {
		i.Revoke(fmt.Sprint("t", n))
		i.AwaitFollower()
		refused(t, v, "revoked", token, verify.ErrRevoked)
	}
	close(stop)
	all.Wait()
}

func TestCloseEndsFollowing(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := following(t, i)
	token := i.Token("m1", "m2", verifytest.Claim("jti", "t1"))
	i.Revoke("t1")
	i.AwaitFollower()
	for range 2 {
		must(t, v.Close())
		refused(t, v, "after Close", token, verify.ErrRevoked)
	}
	if err := offline(t, i).Close(); err != nil {
		t.Error(err)
	}
}

func TestDenyListOfTestsIsOne(t *testing.T) {
	i := verifytest.NewIssuer(t)
	i.Revoke("b", "a")
	token, etag := i.DenyList()
	parsed, err := jose.Parse(token)
	if err != nil || parsed.Type != "denylist+jwt" || etag != `"0.1"` {
		t.Fatalf("got %+v, %s, %v", parsed, etag, err)
	}
	var m struct{ Denied []string }
	if err := json.Unmarshal(parsed.Payload, &m); err != nil || !slices.Equal(m.Denied, []string{"a", "b"}) {
		t.Errorf("got %s, %v", parsed.Payload, err)
	}
}

// recorded passes requests on and keeps the queries and types of the answers.
type recorded struct {
	http.Handler
	mu      sync.Mutex
	answers []string
	bodies  [][]byte
	replay  []byte // answers everything, once it is there
}

func (h *recorded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	replay := h.replay
	h.mu.Unlock()
	if replay != nil {
		w.Header().Set("Content-Type", "application/denylist-update+jwt")
		_, _ = w.Write(replay)
		return
	}
	inner := httptest.NewRecorder()
	h.Handler.ServeHTTP(inner, r)
	if strings.HasSuffix(r.URL.Path, "/denylist") && r.Context().Err() == nil {
		h.mu.Lock()
		h.answers = append(h.answers, inner.Header().Get("Content-Type"))
		h.bodies = append(h.bodies, inner.Body.Bytes())
		h.mu.Unlock()
	}
	for name, values := range inner.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(inner.Code)
	_, _ = w.Write(inner.Body.Bytes())
}

func (h *recorded) taken() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.answers)
}

func recording(t *testing.T, run func(t *testing.T, i *verifytest.Issuer, h *recorded, direct func(*verify.Config))) {
	i := verifytest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		h := &recorded{Handler: i}
		run(t, i, h, func(c *verify.Config) { c.HTTPClient = &http.Client{Transport: handler{h}} })
	})
}

// F01. The whole list is fetched once; what follows are the changes.
func TestFollowersFetchWhatChanged(t *testing.T) {
	recording(t, func(t *testing.T, i *verifytest.Issuer, h *recorded, direct func(*verify.Config)) {
		i.Revoke("t0")
		v := following(t, i, direct)
		tokens := map[string]string{}
		for n := range 50 {
			id := fmt.Sprint("t", n)
			tokens[id] = i.Token("m1", "m2", verifytest.Claim("jti", id))
			i.Revoke(id)
			pass(time.Second)
		}
		for id, token := range tokens {
			refused(t, v, id, token, verify.ErrRevoked)
		}
		accepted(t, v, "never revoked", i.Token("m1", "m2"))
		answers := h.taken()
		if len(answers) < 50 || answers[0] != "application/jwt" {
			t.Fatalf("got %q", answers)
		}
		for n, typ := range answers[1:] {
			if typ != "application/denylist-update+jwt" {
				t.Errorf("answer %d is %q, not an update", n+1, typ)
			}
		}
		_ = v.Close()
	})
}

// F22. A server that was put back to a backup is followed at once, whatever its revision.
func TestRestoredServerIsFollowed(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, direct func(*verify.Config)) {
		v := following(t, i, direct)
		for n := range 5 {
			i.Revoke(fmt.Sprint("t", n))
		}
		pass(time.Second)
		before := i.Token("m1", "m2", verifytest.Claim("jti", "t1"))
		refused(t, v, "before", before, verify.ErrRevoked)
		i.Restore()
		i.Revoke("t9")
		pass(time.Second)
		refused(t, v, "revoked after the restore", i.Token("m1", "m2", verifytest.Claim("jti", "t9")), verify.ErrRevoked)
		accepted(t, v, "revoked after the backup was made", i.Token("m1", "m2", verifytest.Claim("jti", "t1")))
		_ = v.Close()
	})
}

// F23. A statement that is replayed is as old as it was.
func TestReplayedStatementsDoNotCountAsNews(t *testing.T) {
	recording(t, func(t *testing.T, i *verifytest.Issuer, h *recorded, direct func(*verify.Config)) {
		closing := func(c *verify.Config) { c.Revocations.FailClosedAfter = time.Minute }
		v := following(t, i, direct, closing)
		pass(10 * time.Minute)
		accepted(t, v, "nothing has changed, and the server says so", i.Token("m1", "m2"))
		h.mu.Lock()
		h.replay = h.bodies[len(h.bodies)-1]
		h.mu.Unlock()
		i.Revoke("t1")
		pass(50 * time.Second)
		accepted(t, v, "within the bound", i.Token("m1", "m2"))
		pass(time.Minute)
		refused(t, v, "beyond it", i.Token("m1", "m2", verifytest.Claim("jti", "t1")), verify.ErrRevocationsStale)
		_ = v.Close()
	})
}

// The cache file has the updates too.
func TestUpdatesOutliveARestart(t *testing.T) {
	directly(t, func(t *testing.T, i *verifytest.Issuer, direct func(*verify.Config)) {
		file := filepath.Join(t.TempDir(), "denylist")
		cached := func(c *verify.Config) { c.Revocations.CacheFile = file }
		i.Revoke("t0")
		first := following(t, i, direct, cached)
		for n := range 300 { // more than one file holds
			i.Revoke(fmt.Sprint("t", n))
			pass(time.Second)
		}
		_ = first.Close()
		saved, err := os.ReadFile(file)
		if lines := strings.Count(string(saved), "\n"); err != nil || lines == 0 || lines > 128 {
			t.Errorf("the file has %d updates, %v", lines, err)
		}
		if err := os.WriteFile(file, append(saved, "\neyJ"...), 0o600); err != nil { // cut off
			t.Fatal(err)
		}
		i.SetDown(true)
		again := following(t, i, direct, withKeys(i), cached)
		for n := range 300 {
			id := fmt.Sprint("t", n)
			refused(t, again, id+" after a restart", i.Token("m1", "m2", verifytest.Claim("jti", id)), verify.ErrRevoked)
		}
		_ = again.Close()
		i.SetDown(false)
	})
}
