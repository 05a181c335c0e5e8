package clienttest

import (
	"crypto"
	"crypto/rand"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// Secret creates another client secret for service, for client.ClientSecretBasic and client.ClientSecretPost.
func (s *Server) Secret(service string) string {
	secret := "wws_" + rand.Text() + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[secret] = service
	return secret
}

// Key creates a key pair for service, registers the public key, and returns the private key, which is for
// client.PrivateKeyJWT with client.Key(key, "").
func (s *Server) Key(service string) crypto.Signer {
	signer := newSigner()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clientKeys[signer.ID()] = clientKey{service, signer.Public()}
	return signer.Key()
}

type clientKey struct {
	service string
	public  jose.PublicKey
}

// AllowExchange allows actor to exchange the tokens that it receives for tokens for target, with any of the scopes
// that the received tokens have too.
func (s *Server) AllowExchange(actor, target string, scopes ...string) {
	s.allow(actor, target, rule{scopes: scopes, exchange: true})
}

// AllowImpersonation is like AllowExchange, but the tokens need not name the actor.
func (s *Server) AllowImpersonation(actor, target string, scopes ...string) {
	s.allow(actor, target, rule{scopes: scopes, exchange: true, impersonate: true})
}

// OAuthIssuer returns the issuer of tokens from POST /oauth2/token, for verify.Config. It is equal to URL.
func (s *Server) OAuthIssuer() string { return s.URL }

func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                s.URL,
		"token_endpoint":                        s.URL + "/oauth2/token",
		"jwks_uri":                              s.JWKSURL(),
		"response_types_supported":              []string{},
		"grant_types_supported":                 []string{api.GrantClientCredentials, api.GrantTokenExchange},
		"token_endpoint_auth_methods_supported": []string{api.ClientSecretBasic, api.ClientSecretPost, api.PrivateKeyJWT, api.SPIFFEJWT},
		"dpop_signing_alg_values_supported":     jose.ClientAlgorithms(),
	})
}

const (
	typeToken           = "urn:ietf:params:oauth:token-type:access_token"
	typeAssertion       = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	typeSPIFFEAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
)

// oauthError is an error response of RFC 6749, section 5.2.
type oauthError struct{ code, description string }

func (e *oauthError) Error() string { return e.code + ": " + e.description }

func (s *Server) oauthToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Watchword-Decision", randomID())
	answer, err := s.oauthGrant(r)
	var oe *oauthError
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, answer)
	case errors.As(err, &oe) && oe.code == "invalid_client":
		w.Header().Set("WWW-Authenticate", `Basic realm="watchword"`)
		refuse(w, http.StatusUnauthorized, oe.code, oe.description)
	case errors.As(err, &oe):
		refuse(w, http.StatusBadRequest, oe.code, oe.description)
	default:
		refuse(w, http.StatusBadRequest, "invalid_request", err.Error())
	}
}

type oauthAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	IssuedType  string `json:"issued_token_type,omitempty"`
}

func (s *Server) oauthGrant(r *http.Request) (*oauthAnswer, error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("the body must be a form")
	}
	if err := r.ParseForm(); err != nil {
		return nil, errors.New("the form cannot be read")
	}
	caller, err := s.oauthClient(r)
	if err != nil {
		return nil, &oauthError{"invalid_client", "client authentication failed"}
	}
	jkt, err := s.proof(r)
	if err != nil {
		return nil, &oauthError{"invalid_dpop_proof", err.Error()}
	}
	target := r.PostForm.Get("audience")
	if target == "" {
		target = r.PostForm.Get("resource")
	}
	c := claims{Issuer: s.URL, Subject: caller, Audience: target, Scope: r.PostForm.Get("scope"), ClientID: caller, Confirmation: confirmation(jkt)}
	answer := &oauthAnswer{TokenType: "Bearer"}
	if jkt != "" {
		answer.TokenType = "DPoP"
	}
	lifetime, err := s.oauthDecide(r.PostForm, caller, &c, answer)
	if err != nil {
		return nil, err
	}
	answer.AccessToken, answer.ExpiresIn = signClaims(s.access, "at+jwt", c, lifetime), int64(lifetime/time.Second)
	return answer, nil
}

func (s *Server) oauthDecide(form url.Values, caller string, c *claims, answer *oauthAnswer) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	rule, ok := s.rules[edge{caller, c.Audience}]
	for _, scope := range strings.Fields(c.Scope) {
		ok = ok && slices.Contains(rule.scopes, scope)
	}
	lifetime := s.lifetime
	switch grant := form.Get("grant_type"); grant {
	case api.GrantClientCredentials:
	case api.GrantTokenExchange:
		answer.IssuedType = typeToken
		subject, err := s.subject(form)
		if err != nil {
			return 0, err
		}
		impersonate := form.Get("impersonate") == "true"
		ok = ok && rule.exchange && (rule.impersonate || !impersonate)
		c.Subject = subject.Subject
		if !impersonate {
			c.Actor = &actor{caller, subject.Actor}
		}
		lifetime = min(lifetime, time.Until(time.Unix(subject.Expiry, 0)).Truncate(time.Second))
	default:
		return 0, &oauthError{"unsupported_grant_type", "use client_credentials or token exchange"}
	}
	if !ok {
		return 0, &oauthError{"invalid_target", "no rule allows this call"}
	}
	return lifetime, nil
}

// subject returns the claims of the token to exchange, which this server must have issued.
func (s *Server) subject(form url.Values) (claims, error) {
	bad := &oauthError{"invalid_request", "subject_token is not a valid access token of this server"}
	token, err := jose.Parse(form.Get("subject_token"))
	if err != nil || form.Get("subject_token_type") != typeToken || token.Type != "at+jwt" ||
		token.Verify(jose.NewKeySet(s.access.Public()), []jose.Algorithm{jose.ES256}) != nil {
		return claims{}, bad
	}
	var c claims
	if err := strictjson.Unmarshal(token.Payload, &c); err != nil || time.Until(time.Unix(c.Expiry, 0)) < time.Second {
		return claims{}, bad
	}
	return c, nil
}

// oauthClient returns the service that authenticated, with any of the methods.
func (s *Server) oauthClient(r *http.Request) (string, error) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if assertion := r.PostForm.Get("client_assertion"); assertion != "" {
		return s.assertedClient(r.PostForm.Get("client_assertion_type"), id, assertion)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if service, ok := s.secrets[secret]; ok && service == id {
		return id, nil
	}
	return "", errors.New("secret")
}

func (s *Server) assertedClient(kind, id, assertion string) (string, error) {
	token, err := jose.Parse(assertion)
	if err != nil {
		return "", err
	}
	if token.KeyID == s.platform.ID() && (kind == typeAssertion || kind == typeSPIFFEAssertion) {
		service, err := s.vouchedFor(token)
		if err == nil && id != "" && id != service && id != platformIDs+service {
			err = errors.New("the platform vouches for another service")
		}
		return service, err
	}
	if kind != typeAssertion {
		return "", errors.New("assertion type")
	}
	if token.Type == "bootstrap+jwt" {
		return s.credentialOf(assertion)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.clientKeys[token.KeyID]
	if err := token.VerifyWith(key.public); err != nil {
		return "", err
	}
	var c claims
	if err := strictjson.Unmarshal(token.Payload, &c); err != nil {
		return "", err
	}
	if c.Issuer != key.service || c.Subject != key.service || c.Audience != s.URL || s.seen[c.ID] || time.Now().Unix() >= c.Expiry {
		return "", errors.New("assertion claims")
	}
	s.seen[c.ID] = true
	return key.service, nil
}

// proof returns the thumbprint of the key of the DPoP proof, or "" if there is no proof.
func (s *Server) proof(r *http.Request) (jkt string, err error) {
	if len(r.Header.Values(dpop.Header)) == 0 {
		return "", nil
	}
	p, err := dpop.Check(r.Header.Values(dpop.Header), dpop.Expect{Method: r.Method, URL: s.URL + r.URL.Path, Now: time.Now()})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[p.ID] {
		return "", errors.New("the proof was used before")
	}
	s.seen[p.ID] = true
	return p.Key, nil
}
