package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// form is a POST of a form, as bytes. The secret, if any, goes into the header (RFC 6749, section
// 2.3.1).
func form(path, client, secret string, values url.Values) []byte {
	body, authorization := values.Encode(), ""
	if secret != "" {
		authorization = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(client+":"+secret)) + "\r\n"
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n%sContent-Length: %d\r\n\r\n%s",
		path, authorization, len(body), body)
}

// clientSecret makes a secret for a service.
func (s *server) clientSecret(service string) (string, error) {
	c, err := s.operate("POST", "/services/"+service+"/credentials", `{"kind":"secret"}`)
	if err != nil {
		return "", err
	}
	return c["secret"].(string), nil
}

// oauth compares the OAuth endpoints with bare handlers that make and check the same signatures.
func (b *bench) oauth() ([]line, error) {
	s, err := b.serve("oauth")
	if err != nil {
		return nil, err
	}
	if _, err := s.three("ES256"); err != nil {
		return nil, err
	}
	secret, err := s.clientSecret("m1")
	if err != nil {
		return nil, err
	}
	grant := url.Values{"grant_type": {"client_credentials"}, "audience": {"m2"}}
	bySecret := target{address: s.public, request: form("/oauth2/token", "m1", secret, grant), pid: s.cmd.Process.Pid}
	first, err := b.against("/oauth2/token with a secret, ES256 / bare handler", "secret", bySecret, nil, .65)
	if err != nil {
		return nil, err
	}
	byKey, public, err := s.assertions(grant)
	if err != nil {
		return nil, err
	}
	second, err := b.against("/oauth2/token with private_key_jwt, ES256 / (verify + sign + bare handler)", "assertion", byKey, public, .60)
	if err != nil {
		return nil, err
	}
	introspection, public, err := s.introspection(bySecret)
	if err != nil {
		return nil, err
	}
	third, err := b.against("/oauth2/introspect / (verify + bare handler)", "introspection", introspection, public, .70)
	if err != nil {
		return nil, err
	}
	return []line{first, second, third}, s.stop()
}

// against compares ours with the ceiling of its kind.
func (b *bench) against(name, kind string, ours target, key []byte, want float64) (line, error) {
	if ours.once != nil {
		if err := ours.once.refill(1); err != nil {
			return line{}, err
		}
	}
	request, err := ours.next()
	if err != nil {
		return line{}, err
	}
	size, err := answerSize(ours.address, request)
	if err != nil {
		return line{}, err
	}
	cmd, address, err := b.ceiling(kind, "ES256", size, key)
	if err != nil {
		return line{}, err
	}
	defer cmd.Process.Kill()
	ceiling := target{address: address, request: request, pid: cmd.Process.Pid}
	a, z, err := b.compare(ours, ceiling)
	if err != nil {
		return line{}, err
	}
	l := atLeast(name, a.rate/z.rate, want)
	l.measured += fmt.Sprintf("  (%.0f / %.0f a second, %.0f / %.0f us of processor time)", a.rate, z.rate, a.micros, z.micros)
	return l, nil
}

// assertions is a target that m1 asks with an assertion signed by a key of its own, a new one
// each time.
func (s *server) assertions(grant url.Values) (target, []byte, error) {
	signer, err := jose.GenerateSigner(jose.ES256)
	if err != nil {
		return target{}, nil, err
	}
	public, err := signer.Public().JWK()
	if err != nil {
		return target{}, nil, err
	}
	if _, err := s.operate("POST", "/services/m1/credentials", fmt.Sprintf(`{"kind":"key","jwk":%s}`, public)); err != nil {
		return target{}, nil, err
	}
	one := func() ([]byte, error) {
		now := time.Now().Unix()
		assertion, err := signer.Sign("client-authentication+jwt", fmt.Appendf(nil, `{"iss":"m1","sub":"m1","aud":"http://localhost:8000","jti":%q,"iat":%d,"exp":%d}`,
			rand.Text(), now, now+120))
		if err != nil {
			return nil, err
		}
		return form("/oauth2/token", "m1", "", url.Values{
			"grant_type": grant["grant_type"], "audience": grant["audience"],
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
		}), nil
	}
	return target{address: s.public, once: &supply{make: one}, pid: s.cmd.Process.Pid}, public, nil
}

// introspection is a target that m2 asks about a token of m1's, and the key that signed it.
func (s *server) introspection(grant target) (target, []byte, error) {
	token, err := s.accessToken(grant.request)
	if err != nil {
		return target{}, nil, err
	}
	secret, err := s.clientSecret("m2")
	if err != nil {
		return target{}, nil, err
	}
	key, err := s.publicKey(token)
	return target{
		address: s.public, pid: s.cmd.Process.Pid,
		request: form("/oauth2/introspect", "m2", secret, url.Values{"token": {token}}),
	}, key, err
}

// accessToken sends a token request and reads the token.
func (s *server) accessToken(request []byte) (string, error) {
	_, body, _ := strings.Cut(string(request), "\r\n\r\n")
	r, err := http.NewRequest(http.MethodPost, "http://"+s.public+"/oauth2/token", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	for _, h := range []string{"Content-Type", "Authorization"} {
		_, rest, _ := strings.Cut(string(request), h+": ")
		value, _, _ := strings.Cut(rest, "\r\n")
		r.Header.Set(h, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var a struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Token == "" {
		return "", fmt.Errorf("no token: %s: %w", resp.Status, err)
	}
	return a.Token, nil
}

// publicKey is the published key that signed token, as a JWK.
func (s *server) publicKey(token string) ([]byte, error) {
	t, err := jose.Parse(token)
	if err != nil {
		return nil, err
	}
	resp, err := http.Get("http://" + s.public + "/.well-known/jwks.json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		return nil, err
	}
	for _, k := range set.Keys {
		if key, err := jose.ParseJWK(k); err == nil && key.ID == t.KeyID {
			return k, nil
		}
	}
	return nil, fmt.Errorf("key %q is not published", t.KeyID)
}
