package verify

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

func TestRememberedTokensAreBounded(t *testing.T) {
	var c tokenCache
	keys := jose.NewKeySet()
	id := func(n int) (id tokenID) {
		binary.BigEndian.PutUint64(id[:], uint64(n))
		return id
	}
	used := &Claims{ID: "used"}
	c.add(id(0), keys, used)
	for n := 1; n < 10*maxSeen; n++ {
		c.add(id(n), keys, &Claims{})
		if got := len(c.young) + len(c.old); got > maxSeen {
			t.Fatalf("%d tokens are remembered, want at most %d", got, maxSeen)
		}
		if n%1000 == 0 && c.find(id(0), keys) != used {
			t.Fatalf("a token in use was forgotten after %d others", n)
		}
	}
	if c.find(id(1), keys) != nil {
		t.Error("a token nobody used is still there")
	}
	if c.find(id(0), jose.NewKeySet()) != nil {
		t.Error("a token counts under a key set that did not verify it")
	}
}

// What was verified stays known when the same keys are fetched again.
func TestKeysThatDidNotChangeStayTheSameSet(t *testing.T) {
	key, err := jose.GenerateKey(jose.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	set := func() *jose.KeySet {
		return jose.NewKeySet(jose.PublicKey{ID: "k", Algorithm: jose.EdDSA, Key: key.Public()})
	}
	first := set()
	var s keySource
	for _, next := range []*jose.KeySet{first, set()} {
		s.use(fetched{set: next, at: time.Now()})
		if s.state.Load().set != first {
			t.Error("the same keys became another set")
		}
	}
	if s.use(fetched{set: jose.NewKeySet(), at: time.Now()}); s.state.Load().set == first {
		t.Error("another set was not used")
	}
}
