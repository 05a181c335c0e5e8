package jose

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// MaxKeys is the maximum number of keys in a JWK Set. Watchword never publishes that many.
const MaxKeys = 512

// maxKeyMembers is the maximum mean number of members and array elements of a key. Some keys have certificates.
const maxKeyMembers = 20

// KeySet is an immutable set of keys with distinct ids. The nil set is empty.
type KeySet struct {
	keys []PublicKey
	byID map[string]int
}

// NewKeySet returns a set of keys. It omits keys without an id, keys that may not be used, and keys with the id of
// another key, because they could never verify anything.
func NewKeySet(keys ...PublicKey) *KeySet {
	s := &KeySet{byID: make(map[string]int, len(keys))}
	for _, k := range keys {
		if _, taken := s.byID[k.ID]; taken || k.ID == "" || k.check() != nil {
			continue
		}
		s.byID[k.ID] = len(s.keys)
		s.keys = append(s.keys, k)
	}
	return s
}

// ParseKeySet reads a JWK Set. It ignores keys that cannot be used (RFC 7517, section 5). Two usable keys with the
// same id are an error, because it is not clear which is meant.
func ParseKeySet(b []byte) (*KeySet, error) {
	members, err := KeySetMembers(b)
	if err != nil {
		return nil, err
	}
	var keys []PublicKey
	for _, v := range members {
		if k, err := ParseJWK(v); err == nil && k.ID != "" {
			keys = append(keys, k)
		}
	}
	s := NewKeySet(keys...)
	if len(s.keys) != len(keys) {
		return nil, fmt.Errorf("%w key set: two keys have the same id", ErrMalformed)
	}
	return s, nil
}

// KeySetMembers returns the keys of a JWK Set as JSON texts. It refuses a set of more than MaxKeys keys.
func KeySetMembers(b []byte) ([]jsontext.Value, error) {
	var doc struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := strictjson.UnmarshalWide(b, &doc, MaxKeys*maxKeyMembers); err != nil {
		return nil, fmt.Errorf("%w key set: %w", ErrMalformed, err)
	}
	if len(doc.Keys) > MaxKeys {
		return nil, fmt.Errorf("%w key set: %d keys, more than %d", ErrMalformed, len(doc.Keys), MaxKeys)
	}
	if doc.Keys == nil {
		return nil, fmt.Errorf("%w key set: no member \"keys\"", ErrMalformed)
	}
	return doc.Keys, nil
}

// Keys returns the keys, in their order.
func (s *KeySet) Keys() []PublicKey {
	if s == nil {
		return nil
	}
	return slices.Clone(s.keys)
}

// Find returns the key with id kid.
func (s *KeySet) Find(kid string) (PublicKey, bool) {
	if s == nil {
		return PublicKey{}, false
	}
	i, ok := s.byID[kid]
	if !ok {
		return PublicKey{}, false
	}
	return s.keys[i], true
}

// JSON returns the set as a JWK Set document.
func (s *KeySet) JSON() []byte {
	var members [][]byte
	for _, k := range s.Keys() {
		if b, err := k.JWK(); err == nil { // cannot fail, because NewKeySet checks the keys
			members = append(members, b)
		}
	}
	return slices.Concat([]byte(`{"keys":[`), bytes.Join(members, []byte(",")), []byte(`]}`))
}
