package dpop

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// NewProof returns a proof for one request, signed by signer and with its public key in the header. nonce and
// accessToken may be empty. url may have a query and a fragment, which are omitted.
func NewProof(signer *jose.Signer, method, url, nonce, accessToken string, now time.Time) (string, error) {
	target, err := normalise(url)
	if err != nil {
		return "", fmt.Errorf("make DPoP proof: %w", err)
	}
	c := struct {
		ID        string `json:"jti"` // 130 random bits
		Method    string `json:"htm"`
		URL       string `json:"htu"`
		IssuedAt  int64  `json:"iat"`
		TokenHash string `json:"ath,omitempty"`
		Nonce     string `json:"nonce,omitempty"`
	}{ID: rand.Text(), Method: method, URL: target, IssuedAt: now.Unix(), Nonce: nonce}
	if accessToken != "" {
		c.TokenHash = TokenHash(accessToken)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("make DPoP proof: %w", err)
	}
	proof, err := signer.SignProof(Type, payload)
	if err != nil {
		return "", fmt.Errorf("make DPoP proof: %w", err)
	}
	return proof, nil
}
