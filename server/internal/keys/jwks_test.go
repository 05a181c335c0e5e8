package keys

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"
)

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
	if body, etag, _ := r.JWKS(); len(body) > 0 || etag != "" {
		t.Errorf("got %s, %s", body, etag)
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
