package supertokens

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"regexp"
	"strings"
)

// errAPIKey names the rule and never the key.
var errAPIKey = errors.New("an API key of the SuperTokens interface must have at least 20 characters, only A-Z, a-z, 0-9, '=' and '-'")

var apiKeySyntax = regexp.MustCompile(`^[A-Za-z0-9=-]{20,}$`)

// apiKeys are the digests of the keys, so that comparing takes the same time whatever the
// length.
type apiKeys [][sha256.Size]byte

func newAPIKeys(keys []string) (apiKeys, error) {
	if len(keys) == 0 {
		return nil, ErrNoAPIKey
	}
	var digests apiKeys
	for _, k := range keys {
		if !apiKeySyntax.MatchString(k) {
			return nil, errAPIKey
		}
		digests = append(digests, sha256.Sum256([]byte(k)))
	}
	return digests, nil
}

// allow reports whether h carries one of the keys. The header api-key wins over Authorization.
func (a apiKeys) allow(h http.Header) bool {
	var sent string
	if v, ok := h["Api-Key"]; ok {
		sent = v[0]
	} else {
		sent = h.Get("Authorization")
		if scheme, key, ok := strings.Cut(sent, " "); ok && strings.EqualFold(scheme, "Bearer") {
			sent = key
		}
	}
	digest := sha256.Sum256([]byte(strings.TrimSpace(sent)))
	found := 0
	for _, k := range a {
		found |= subtle.ConstantTimeCompare(digest[:], k[:])
	}
	return found == 1
}
