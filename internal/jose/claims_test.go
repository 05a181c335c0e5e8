package jose

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClaimsAreRead(t *testing.T) {
	const payload = `{"iss":"auth-server","sub":"m1","aud":"m2","iat":1795467585,"nbf":1795467586,"exp":1795468485,"jti":"id","scope":"read write","client_id":"c","other":{"x":[1]}}`
	c, err := ParseClaims([]byte(payload))
	must(t, err)
	if c.Issuer != "auth-server" || c.Subject != "m1" || c.ID != "id" || c.Scope != "read write" || c.ClientID != "c" ||
		!slices.Equal(c.Audience, []string{"m2"}) || c.AudienceIsArray || string(c.Raw) != payload ||
		c.IssuedAt.Unix() != 1795467585 || c.NotBefore.Unix() != 1795467586 || c.Expiry.Unix() != 1795468485 {
		t.Errorf("got %+v", c)
	}
	c, err = ParseClaims([]byte(`{"aud":["a","b"]}`))
	if err != nil || !c.AudienceIsArray || !slices.Equal(c.Audience, []string{"a", "b"}) || !c.Expiry.IsZero() || !c.NotBefore.IsZero() {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestClaimSetIsOneStrictObject(t *testing.T) {
	for _, payload := range []string{
		``, `null`, `[]`, `"x"`, `7`, `{`, `{}{}`, `{"a":1,"a":2}`, `{"aud":"m2","aud":"m3"}`, `{"aud":"m2","\u0061ud":"m3"}`,
		"{\"sub\":\"\xff\"}", `{"sub":"\ud800"}`, `{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
		`{"iss":null}`, `{"iss":["auth-server"]}`, `{"iss":1}`, `{"sub":true}`, `{"jti":5}`, `{"scope":["a"]}`, `{"client_id":{}}`,
		`{"aud":null}`, `{"aud":1}`, `{"aud":{"a":1}}`, `{"aud":["a",null]}`, `{"aud":["a",1]}`, `{"aud":[["a"]]}`,
	} {
		if c, err := ParseClaims([]byte(payload)); !errors.Is(err, ErrMalformed) || c != nil {
			t.Errorf("%.60q: got %+v, %v, want ErrMalformed", payload, c, err)
		}
	}
}

// VER-014. RFC 7519, section 2: a NumericDate is a JSON number, and may have a fraction.
func TestDates(t *testing.T) {
	for _, name := range []string{"exp", "nbf", "iat"} {
		for text, want := range map[string]time.Time{
			`1795468485`: time.Unix(1795468485, 0), `1`: time.Unix(1, 0), `1e3`: time.Unix(1000, 0), `1.5E+3`: time.Unix(1500, 0),
			`1795468485.5`: time.Unix(1795468485, 5e8), `1795468485.000`: time.Unix(1795468485, 0), `253402300799`: time.Unix(253402300799, 0),
		} {
			c, err := ParseClaims([]byte(`{"` + name + `":` + text + `}`))
			if err != nil {
				t.Errorf("%s %s: %v", name, text, err)
				continue
			}
			if got := map[string]time.Time{"exp": c.Expiry, "nbf": c.NotBefore, "iat": c.IssuedAt}[name]; !got.Equal(want) {
				t.Errorf("%s %s: got %v, want %v", name, text, got, want)
			}
		}
		for _, text := range []string{
			`null`, `0`, `-0`, `0.0`, `-1`, `-1e3`, `"x"`, `"1795468485"`, `true`, `[]`, `{}`, `NaN`, `"NaN"`, `Infinity`, `1e400`, `-1e400`, `1e-400`,
			`9223372036854775808`, `9223372036854775807`, `18446744073709551617`, `253402300800`, `1e12`, `01`, `0x10`, `1_000`, `1.`, `.5`, `+1`,
			strings.Repeat("9", 4000),
		} {
			if c, err := ParseClaims([]byte(`{"` + name + `":` + text + `}`)); err == nil {
				t.Errorf("%s %.30s: got %+v, want an error", name, text, c)
			}
		}
	}
}

func TestNoErrorShowsTheClaims(t *testing.T) {
	const secret = "c0ffee"
	for _, payload := range []string{secret, `{"` + secret + `":1,"` + secret + `":1}`, `{"exp":"` + secret + `"}`} {
		if _, err := ParseClaims([]byte(payload)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want an error without the claims' text", err)
		}
	}
}
