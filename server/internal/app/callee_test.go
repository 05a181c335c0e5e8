package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// callee checks tokens by hand, all but in one way.
type callee struct {
	*server
	skip string // the name of the check it does not know
}

func (c callee) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, ok := r.Header["Dpop"]; ok && c.skip == "wrong_proof" {
		return // it takes any proof
	}
	if c.skip != "everything" && !(c.skip == "no_token" && r.Header.Get("Authorization") == "") {
		if err := c.check(token); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	_, _ = io.WriteString(w, "Hello!")
}

func (c callee) check(token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("no token")
	}
	var header struct {
		Alg, Typ, Kid string
		JWK           json.RawMessage
	}
	raw, _ := base64.RawURLEncoding.DecodeString(parts[0])
	if err := json.Unmarshal(raw, &header); err != nil {
		return err
	}
	if header.Typ == "bootstrap+jwt" && c.skip == "bootstrap_credential" {
		return nil
	}
	if header.Typ != "at+jwt" && c.skip != "wrong_type" {
		return errors.New("type")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	if !c.signed(token, header.Alg, header.Kid, header.JWK) {
		return errors.New("signature")
	}
	return c.claims(payload)
}

// signed knows the ways in which libraries were fooled.
func (c callee) signed(token, alg, kid string, embedded []byte) bool {
	ring := c.s.ring.Verifiers(keys.UseAccess)
	key, known := ring.Find(kid)
	cut := strings.LastIndexByte(token, '.')
	signature, _ := base64.RawURLEncoding.DecodeString(token[cut+1:])
	hs256 := func(secret []byte) bool {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(token[:cut]))
		return alg == "HS256" && hmac.Equal(mac.Sum(nil), signature)
	}
	switch {
	case c.skip == "alg_none" && alg == "none":
		return true
	case c.skip == "hs256_pem" && known:
		der, err := x509.MarshalPKIXPublicKey(key.Key)
		if err == nil && hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})) {
			return true
		}
	case c.skip == "hs256_jwk" && known:
		if jwk, err := key.JWK(); err == nil && hs256(jwk) {
			return true
		}
	case c.skip == "unknown_key" && kid != "" && !known:
		return true
	case c.skip == "forged_signature" && known && alg != "none" && alg != "HS256" && len(signature) > 0:
		return true
	case c.skip == "stripped_signature" && alg != "none" && len(signature) == 0:
		return true
	case c.skip == "embedded_key" && embedded != nil:
		_, _, err := jose.ParseProof(token)
		return err == nil
	}
	t, err := jose.Parse(token)
	return err == nil && t.Verify(ring, []jose.Algorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}) == nil
}

func (c callee) claims(payload []byte) error {
	claims, err := jose.ParseClaims(payload)
	if err != nil {
		return err
	}
	now := time.Now()
	for check, bad := range map[string]bool{
		"another_audience":    !slices.Equal(claims.Audience, []string{"m2"}),
		"wrong_issuer":        claims.Issuer != c.cfg.PlainIssuer,
		"expired":             now.After(claims.Expiry.Add(time.Minute)),
		"not_yet_valid":       now.Add(time.Minute).Before(claims.NotBefore),
		"bound_without_proof": claims.Bound,
		"revoked":             c.s.directory.Snapshot().Denied(claims.ID),
	} {
		if bad && check != c.skip {
			return errors.New(check)
		}
	}
	return nil
}
