package client

import (
	"crypto"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

// DPoP configures the key to which tokens are bound.
type DPoP struct {
	// Key is a P-256, RSA or Ed25519 key, which may be in a device. If nil, a P-256 key is generated for this process.
	// That is the safest, because the key is not stored anywhere.
	Key crypto.Signer
}

// maxNonces is the number of origins whose nonces are remembered.
const maxNonces = 256

// prover creates proofs and remembers the nonces that servers require.
type prover struct {
	signer *jose.Signer

	mu     sync.Mutex
	nonces map[string]string // by origin
}

func newProver(d *DPoP) (*prover, error) {
	if d == nil {
		return nil, nil //nolint:nilnil // DPoP is not used
	}
	key := d.Key
	if key == nil {
		var err error
		if key, err = jose.GenerateKey(jose.ES256); err != nil {
			return nil, fmt.Errorf("generate a DPoP key: %w", err)
		}
	}
	signer, err := jose.SignerOf("", key)
	if err != nil {
		return nil, fmt.Errorf("DPoP key: %w", err)
	}
	return &prover{signer: signer, nonces: make(map[string]string)}, nil
}

// attach adds a proof to req, for the token if there is one, and returns the nonce in the proof.
func (p *prover) attach(req *http.Request, token string, now time.Time) (nonce string, err error) {
	if p == nil {
		return "", nil
	}
	u := target(req)
	p.mu.Lock()
	nonce = p.nonces[origin(u)]
	p.mu.Unlock()
	proof, err := dpop.NewProof(p.signer, req.Method, u.String(), nonce, token, now)
	if err != nil {
		return "", err
	}
	req.Header.Set(dpop.Header, proof)
	return nonce, nil
}

// learn remembers the nonce of an answer, which any answer may have (RFC 9449, section 8.2), and reports whether it
// differs from the one that was used.
func (p *prover) learn(req *http.Request, h http.Header, used string) bool {
	if p == nil {
		return false
	}
	values := h.Values(dpop.NonceHeader)
	if len(values) != 1 || !isNonce(values[0]) {
		return false
	}
	o := origin(target(req))
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.nonces[o]; !known && len(p.nonces) >= maxNonces {
		for other := range p.nonces { // any one, because its origin will send another nonce
			delete(p.nonces, other)
			break
		}
	}
	p.nonces[o] = values[0]
	return values[0] != used
}

// target is the URI that the request is for (RFC 9110, section 7.1).
func target(req *http.Request) *url.URL {
	u := *req.URL
	u.User = nil
	if req.Host != "" {
		u.Host = req.Host
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return &u
}

func origin(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }

// isNonce reports whether s is a nonce of RFC 9449, section 8.1 (nonce = 1*NQCHAR), and fits into a header.
func isNonce(s string) bool { return len(s) <= 1024 && isScope(s) }
