package supertokens_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/supertokens"
)

const jwksPath = "/.well-known/jwks.json"

func dynamicID(offset time.Duration) string {
	return fmt.Sprintf("d-%d", start.Add(offset).UnixMilli())
}

func TestDynamicKeyRotates(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	dynamic := request("useStaticSigningKey", "false")
	const (
		u    = 168 * time.Hour
		made = u - 59*time.Second // the first moment a test looks after u-60s
	)
	static := kid(t, f.mint(t, "/recipe/jwt", request()))
	steps := []struct {
		at        time.Duration
		signs     string
		published []string
	}{
		{0, dynamicID(0), []string{dynamicID(0), static}},
		{u - 60*time.Second, dynamicID(0), []string{dynamicID(0), static}},
		{made, dynamicID(0), []string{dynamicID(made), dynamicID(0), static}},
		{u - time.Millisecond, dynamicID(0), []string{dynamicID(made), dynamicID(0), static}},
		// The old one's time is over, though the new one is not quite 60 s old.
		{u, dynamicID(made), []string{dynamicID(made), dynamicID(0), static}},
		{u + 2*time.Hour, dynamicID(made), []string{dynamicID(made), dynamicID(0), static}},
		{u + 2*time.Hour + time.Millisecond, dynamicID(made), []string{dynamicID(made), static}},
		// Nobody asked for weeks: the key made now signs at once.
		{5 * u, dynamicID(5 * u), []string{dynamicID(5 * u), static}},
	}
	for _, step := range steps {
		f.clock.add(start.Add(step.at).Sub(f.clock.now()))
		if got := kid(t, f.mint(t, "/recipe/jwt", dynamic)); got != step.signs {
			t.Errorf("at %s %s signs, want %s", step.at, got, step.signs)
		}
		if got := f.kids(t, jwksPath); !slices.Equal(got, step.published) {
			t.Errorf("at %s published %v, want %v", step.at, got, step.published)
		}
		if got := kid(t, f.mint(t, "/recipe/jwt", request())); got != static {
			t.Errorf("at %s the static key is %s, want %s", step.at, got, static)
		}
	}
}

func TestKeySetSaysHowLongItHolds(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	for _, test := range []struct {
		at   time.Duration
		want string
	}{
		{0, "max-age=604740, must-revalidate"},
		{time.Millisecond, "max-age=604739, must-revalidate"},
		{time.Hour, "max-age=601140, must-revalidate"},
		{168*time.Hour - 60*time.Second, "max-age=1, must-revalidate"},
		{168*time.Hour - 59*time.Second, "max-age=604740, must-revalidate"},
	} {
		f.clock.add(start.Add(test.at).Sub(f.clock.now()))
		r := f.do("GET", jwksPath, "", nil)
		if got := r.Header.Get("Cache-Control"); got != test.want {
			t.Errorf("at %s: %q, want %q", test.at, got, test.want)
		}
	}
}

func TestKeySetsAgree(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	public := read(t, f.do("GET", jwksPath, "", nil))
	r := f.do("GET", "/recipe/jwt/jwks", "", keyed)
	deprecated := read(t, r)
	if want := strings.TrimSuffix(public, "}\n") + `,"status":"OK"}` + "\n"; deprecated != want {
		t.Errorf("got %s, want %s", deprecated, want)
	}
	if got := r.Header.Get("Cache-Control"); got != "" {
		t.Errorf("Cache-Control %q, want none", got)
	}
	if strings.Contains(public, `"d"`) || strings.Count(public, `"kty":"RSA"`) != 2 {
		t.Errorf("published %s", public)
	}
}

func TestAppsShareNoKeys(t *testing.T) {
	f := newFixture(t, supertokens.Options{Apps: []string{"a", "b"}})
	seen := map[string]string{}
	for _, app := range []string{"public", "a", "b"} {
		var set struct{ static, dynamic string }
		for _, static := range []string{"true", "false"} {
			token := f.mint(t, "/appid-"+app+"/recipe/jwt", request("useStaticSigningKey", static))
			verify(t, f, "/appid-"+app+jwksPath, token)
			if static == "true" {
				set.static = kid(t, token)
			}
		}
		if other, ok := seen[set.static]; ok {
			t.Errorf("apps %s and %s share the key %s", app, other, set.static)
		}
		seen[set.static] = app
	}
	// Made in the same millisecond the dynamic keys have one id, but are not one key.
	one := read(t, f.do("GET", "/appid-a"+jwksPath, "", nil))
	two := read(t, f.do("GET", "/appid-b"+jwksPath, "", nil))
	for _, n := range strings.Split(one, `"n":"`)[1:] {
		if strings.Contains(two, n[:100]) {
			t.Errorf("apps a and b share a key")
		}
	}
}

func TestRestartKeepsTheKeys(t *testing.T) {
	db, sealer, c := newStore(t), newSealer(t), newClock()
	before := newReplica(t, db, sealer, c, supertokens.Options{}).kids(t, jwksPath)
	c.add(time.Hour)
	after := newReplica(t, db, sealer, c, supertokens.Options{}).kids(t, jwksPath)
	if !slices.Equal(before, after) || len(before) != 2 {
		t.Errorf("before %v, after %v", before, after)
	}
}

// askReplicas lets replicas that share a database make what keys they need, all at once.
func askReplicas(t *testing.T, c *clock, stores []supertokens.Store) {
	t.Helper()
	sealer := newSealer(t)
	var replicas []*fixture
	for _, s := range stores {
		replicas = append(replicas, newReplica(t, s, sealer, c, supertokens.Options{}))
	}
	for _, step := range []struct {
		after time.Duration
		keys  int
	}{{0, 2}, {168*time.Hour - 30*time.Second, 3}} {
		c.add(step.after)
		var asking sync.WaitGroup
		for _, f := range replicas {
			for range 4 {
				asking.Go(func() { f.do("GET", jwksPath, "", nil) })
			}
		}
		asking.Wait()
		first := replicas[0].kids(t, jwksPath)
		if len(first) != step.keys {
			t.Errorf("%d keys published, want %d: %v", len(first), step.keys, first)
		}
		for _, f := range replicas[1:] {
			if got := f.kids(t, jwksPath); !slices.Equal(got, first) {
				t.Errorf("one replica publishes %v, another %v", first, got)
			}
		}
	}
}

func TestReplicasMakeOneKey(t *testing.T) {
	db := newStore(t)
	askReplicas(t, newClock(), []supertokens.Store{db, db, db})
}

func TestReplicaPublishesTheOthersKeyBeforeItSigns(t *testing.T) {
	db, sealer, c := newStore(t), newSealer(t), newClock()
	one, two := newReplica(t, db, sealer, c, supertokens.Options{}), newReplica(t, db, sealer, c, supertokens.Options{})
	one.kids(t, jwksPath)
	c.add(168*time.Hour - 62*time.Second)
	two.kids(t, jwksPath) // looked just before the other one makes a key
	c.add(3 * time.Second)
	one.kids(t, jwksPath)
	c.add(supertokens.LookAgain)
	if got, want := two.kids(t, jwksPath), one.kids(t, jwksPath); !slices.Equal(got, want) || len(got) != 3 {
		t.Errorf("published %v, want %v", got, want)
	}
}

// awayStore is a store that can be taken away.
type awayStore struct {
	supertokens.Store
	away  atomic.Bool
	reads atomic.Int64
}

var errAway = errors.New("store is away")

func (s *awayStore) SigningKeys(ctx context.Context, app string) ([]supertokens.SigningKey, error) {
	s.reads.Add(1)
	if s.away.Load() {
		return nil, errAway
	}
	return s.Store.SigningKeys(ctx, app)
}

func (s *awayStore) InsertSigningKey(ctx context.Context, k supertokens.SigningKey, unless time.Time, c directory.Change) (bool, error) {
	if s.away.Load() {
		return false, errAway
	}
	return s.Store.InsertSigningKey(ctx, k, unless, c)
}

func TestDoorWorksWhileTheStoreIsAwayAsLongAsItsKeysMaySign(t *testing.T) {
	s := &awayStore{Store: newStore(t)}
	c := newClock()
	f := newReplica(t, s, newSealer(t), c, supertokens.Options{})
	s.away.Store(true)
	if got := f.do("POST", "/recipe/jwt", request(), keyed).StatusCode; got != 503 {
		t.Errorf("before any key was read: %d, want 503", got)
	}
	s.away.Store(false)
	kids := f.kids(t, jwksPath)
	s.away.Store(true)
	dynamic := request("useStaticSigningKey", "false")
	c.add(168*time.Hour - 30*time.Second)
	for _, body := range []string{request(), dynamic} {
		f.mint(t, "/recipe/jwt", body)
	}
	if got := f.kids(t, jwksPath); !slices.Equal(got, kids) {
		t.Errorf("published %v, want %v", got, kids)
	}
	c.add(time.Minute)
	if got := f.do("POST", "/recipe/jwt", dynamic, keyed).StatusCode; got != 503 {
		t.Errorf("signing with a key whose time is over: %d, want 503", got)
	}
	f.mint(t, "/recipe/jwt", request()) // the static key's is not
	s.away.Store(false)
	c.add(time.Second)
	if got := kid(t, f.mint(t, "/recipe/jwt", dynamic)); slices.Contains(kids, got) {
		t.Errorf("with the store back the old key %s signs", got)
	}
}

func TestStoreIsNotReadForEveryRequest(t *testing.T) {
	s := &awayStore{Store: newStore(t)}
	f := newReplica(t, s, newSealer(t), newClock(), supertokens.Options{})
	f.kids(t, jwksPath)
	before := s.reads.Load()
	for range 20 {
		f.kids(t, jwksPath)
	}
	if got := s.reads.Load() - before; got != 0 {
		t.Errorf("20 requests at one moment read the store %d times, want 0", got)
	}
	f.clock.add(supertokens.LookAgain)
	for range 20 {
		f.kids(t, jwksPath)
	}
	if got := s.reads.Load() - before; got != 1 {
		t.Errorf("20 requests after %s read the store %d times, want 1", supertokens.LookAgain, got)
	}
}

func TestClientThatHangsUpDoesNotUndoTheMakingOfKeys(t *testing.T) {
	db := newStore(t)
	f := newReplica(t, db, newSealer(t), newClock(), supertokens.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 { // the select may see the end of ctx first
		f.Use(ctx, "public")
	}
	if stored, err := db.SigningKeys(t.Context(), "public"); err != nil || len(stored) > 2 {
		t.Errorf("stored %v, %v", stored, err)
	}
	f.kids(t, jwksPath)
}

func TestOldKeysAreDeleted(t *testing.T) {
	db, c := newStore(t), newClock()
	f := newReplica(t, db, newSealer(t), c, supertokens.Options{})
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := func(app string) (static, dynamic int) {
		stored, err := db.SigningKeys(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range stored {
			if k.Static {
				static++
			} else {
				dynamic++
			}
		}
		return static, dynamic
	}
	c.add(169 * time.Hour)
	f.kids(t, jwksPath)
	prune := func() {
		t.Helper()
		if err := f.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	prune()
	if s, d := count("public"); s != 1 || d != 2 {
		t.Errorf("while the old key is published: %d static and %d dynamic keys, want 1 and 2", s, d)
	}
	c.add(time.Hour + time.Millisecond)
	prune()
	if s, d := count("public"); s != 1 || d != 1 {
		t.Errorf("after that: %d static and %d dynamic keys, want 1 and 1", s, d)
	}
	if s, d := count("m2m-auth"); s != 1 || d != 0 {
		t.Errorf("of the app nobody used: %d static and %d dynamic keys, want 1 and 0", s, d)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestBootstrapKeysAreTheStaticKeysOfAllApps(t *testing.T) {
	f := newFixture(t, supertokens.Options{})
	if got := f.BootstrapKeys().Keys(); len(got) != 0 {
		t.Errorf("before Load: %v", got)
	}
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.BootstrapKeys().Keys(); len(got) != 2 {
		t.Errorf("%d keys, want 2", len(got))
	}
	for _, app := range []string{"public", "m2m-auth"} {
		body := request("payload", `{"iss":"auth-server","sub":"m1","aud":"auth-server"}`)
		if id := kid(t, f.mint(t, "/appid-"+app+"/recipe/jwt", body)); !found(f, id) {
			t.Errorf("the static key %s of %s is missing", id, app)
		}
		body = request("useStaticSigningKey", "false")
		if id := kid(t, f.mint(t, "/appid-"+app+"/recipe/jwt", body)); found(f, id) {
			t.Errorf("the dynamic key %s of %s is there", id, app)
		}
	}
}

func found(f *fixture, id string) bool {
	_, ok := f.BootstrapKeys().Find(id)
	return ok
}
