package app

import (
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/web"
)

// NAT-001, NAT-002, NAT-026 of POST /accesstoken. What makes a credential or a body bad is for packages endpoint and
// clientauth to show.
func TestAllowedCallerGetsATokenForExactlyItsTarget(t *testing.T) {
	s := start(t, testConfig(t))
	s.demo()
	m1, id := s.credential("m1")
	before := time.Now().Unix()
	a := s.ask(m1, `{"target":"m2"}`)
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" || a.json(t)["expiresIn"] != 900.0 {
		t.Fatalf("got %d %v %s", a.status, a.header, a.body)
	}
	token := a.json(t)["accessToken"].(string)
	header, claims := part(t, token, 0), part(t, token, 1)
	if header["alg"] != "ES256" || header["typ"] != "at+jwt" || len(header) != 3 {
		t.Errorf("header: got %v", header)
	}
	if claims["iss"] != "auth-server" || claims["sub"] != "m1" || claims["aud"] != "m2" || len(claims["jti"].(string)) != 32 || claims["scope"] != nil {
		t.Errorf("claims: got %v", claims)
	}
	if iat, exp := int64(claims["iat"].(float64)), int64(claims["exp"].(float64)); exp-iat != 900 || iat < before || iat > time.Now().Unix() {
		t.Errorf("iat %d, exp %d: want 900 s from now, %d", iat, exp, before)
	}
	if !strings.Contains(s.do(s.request("GET", s.url+"/.well-known/jwks.json", "")).body, header["kid"].(string)) {
		t.Error("the key set does not have the token's kid")
	}
	if r := s.record(a.header.Get(web.DecisionHeader)); r["outcome"] != "allowed" || r["caller"] != "m1" || r["target"] != "m2" || r["token"] != claims["jti"] {
		t.Errorf("audit record: got %v", r)
	}
	// The attack that the public demo allowed: the callee uses what it received.
	a = s.ask(token, `{"target":"m1"}`)
	if r := s.record(a.header.Get(web.DecisionHeader)); a.status != 401 || a.json(t)["error"] != "invalid_token" || r["reason"] != "audience_mismatch" {
		t.Errorf("a received token: got %d %s, recorded %v", a.status, a.body, r)
	}
	s.s.directory.FlushUses(t.Context())
	if c := s.operate("GET", "/credentials/"+id, ""); c["lastUsedFrom"] != "127.0.0.1" || c["lastUsedAt"] == nil {
		t.Errorf("last use: got %v from %v", c["lastUsedAt"], c["lastUsedFrom"])
	}
}
