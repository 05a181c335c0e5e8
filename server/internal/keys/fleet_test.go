package keys

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/watchword-dev/watchword/internal/jose"
)

// fleet is replicas on one store and verifiers that keep the key set as long as they may.
type fleet struct {
	now      time.Time
	store    *memory
	replicas []*Ring
	polls    []time.Time // when each replica looks at the store next
	caches   []cache
	issued   []signature

	everywhere map[string]time.Time // since when all replicas publish a key
	signed     map[string]bool
	parsed     map[string]map[string]bool // key sets by entity tag
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
		f := &fleet{now: start, everywhere: map[string]time.Time{}, signed: map[string]bool{}, parsed: map[string]map[string]bool{}, caches: make([]cache, 3)}
		f.store = at(&f.now)
		for range 3 {
			r := NewRing(f.store, sealer, o)
			if err := r.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.replicas, f.polls = append(f.replicas, r), append(f.polls, start)
		}
		for range rapid.IntRange(20, 200).Draw(t, "events") {
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
		for kid := range f.published(r) {
			count[kid]++
		}
	}
	for kid, n := range count {
		if _, known := f.everywhere[kid]; !known && n == len(f.replicas) {
			f.everywhere[kid] = f.now
		}
	}
}

func (f *fleet) published(r *Ring) map[string]bool {
	body, etag, _ := r.JWKS()
	if kids := f.parsed[etag]; kids != nil {
		return kids
	}
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
	f.parsed[etag] = kids
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
		c.kids, c.at = f.published(r), f.now
	}
	if !c.kids[kid] {
		t.Fatalf("verifier %d does not know %s, its key set is %v old", i, kid, f.now.Sub(c.at))
	}
}

// ROT-001: the same with real signatures, Run on each replica, and operators who rotate.
func TestTokensVerifyWhileKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 15 * time.Minute
		m := &memory{clock: time.Now}
		sealer := sealerOf(t, keyLine(1))
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var replicas []*Ring
		for range 2 {
			r := NewRing(m, sealer, Options{Lead: MinLead, RotateEvery: time.Hour, MaxTokenTTL: ttl})
			must(t, r.Load(ctx))
			replicas = append(replicas, r)
			running.Go(func() { _ = r.Run(ctx) })
		}
		used := make([]map[string]bool, len(replicas))
		for i, r := range replicas {
			used[i] = map[string]bool{}
			running.Go(func() { // one verifier for each replica, and one that issues for all
				var set *jose.KeySet
				var fetched time.Time
				verify := func(token string) {
					if set == nil || time.Since(fetched) > r.maxAge {
						body, _, _ := r.JWKS()
						set, _ = jose.ParseKeySet(body)
						fetched = time.Now()
					}
					if err := check(token, set); err != nil {
						t.Errorf("key set %v old: %v", time.Since(fetched), err)
					}
				}
				old := map[time.Time]string{}
				for ctx.Err() == nil {
					for _, issuer := range replicas {
						s, err := issuer.Signer(UseAccess, jose.ES256)
						if err != nil {
							t.Error(err)
							return
						}
						token, err := s.Sign("at+jwt", []byte(`{}`))
						if err != nil {
							t.Error(err)
							return
						}
						used[i][s.ID()] = true
						verify(token)
						old[time.Now().Truncate(time.Minute)] = token
					}
					if token := old[time.Now().Truncate(time.Minute).Add(-ttl-leeway)]; token != "" {
						verify(token)
					}
					<-time.After(time.Minute)
				}
			})
		}
		for i := range 6 {
			<-time.After(47 * time.Minute)
			_, err := replicas[i%2].Rotate(ctx, operator, "", "", false)
			must(t, err)
		}
		stop()
		running.Wait()
		for _, u := range used {
			if len(u) < 6 {
				t.Errorf("%d keys signed, want at least one for each rotation but the last", len(u))
			}
		}
	})
}
