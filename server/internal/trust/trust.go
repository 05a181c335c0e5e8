// Package trust answers which claims a platform's token must have, and whether it has them. The table Presets says for
// each platform what a rule must pin and why, and the functions check a trust's settings, check a rule, judge a token, and
// propose a rule from a token. The package knows neither storage nor HTTP, and does not verify signatures.
//
// A platform is an outside issuer, such as a Kubernetes cluster or GitHub Actions. A trust is what an operator stores about
// it. A rule is the claims of a credential of the kind workload: the name of each claim, and the exact text that a token
// must have there.
package trust

//go:generate go test -run TestPageIsThatOfTheTable -update .

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// Limits of what is read and stored.
const (
	MaxPayload = 16 << 10 // bytes of a token's claims
	MaxClaims  = 32       // claims of a rule
	MaxValue   = 2048     // bytes of a value in a rule; a SPIFFE ID may be as long
	maxShown   = 256      // bytes of a value in a finding
	maxKeyText = 64 << 10 // bytes of uploaded keys or authorities
)

// InvalidError means that a trust or a rule cannot be stored.
type InvalidError struct {
	Field   string // the member, as api.TrustSettings names it, or "claims"
	Problem string // what is wrong, and what to write instead
	Claim   string // the claim that it is about, as it was given; empty: it is about another member, or about what is missing
}

// Error returns the field and the problem.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Claims are the claims of a token, whose signature may not have been verified yet.
type Claims struct{ all map[string]any }

// Parse reads the payload of a token: one JSON object of at most MaxPayload bytes, as I-JSON (RFC 7493), so that a repeated
// member is an error.
func Parse(payload []byte) (*Claims, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("the claims are longer than %d bytes", MaxPayload)
	}
	var strict map[string]any
	if err := strictjson.Unmarshal(payload, &strict); err != nil {
		return nil, fmt.Errorf("read the claims: %w", err)
	}
	if strict == nil {
		return nil, errors.New("read the claims: null is not an object")
	}
	// Numbers are compared by their text, which the strict reader does not keep.
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	c := &Claims{}
	if err := dec.Decode(&c.all); err != nil {
		return nil, fmt.Errorf("read the claims: %w", err)
	}
	return c, nil
}

// OfID returns the claims of a workload that is known by its SPIFFE ID alone, as that of an X.509-SVID is.
func OfID(id string) *Claims { return &Claims{all: map[string]any{"sub": id}} }

// Text returns the text of a claim: that of a string, or the JSON text of a number or boolean. name is a member of the
// claims or, if it begins with a slash, a JSON pointer (RFC 6901). The names of a preset are read by the function Text.
// It returns false if there is no such claim, or if it is null, an object or an array.
func (c *Claims) Text(name string) (string, bool) {
	at, ok := path(name)
	if !ok {
		return "", false
	}
	return textOf(c.at(at))
}

// path returns the members that lead to a claim. A name that does not begin with a slash is one member.
func path(name string) ([]string, bool) {
	rest, pointer := strings.CutPrefix(name, "/")
	if !pointer {
		return []string{name}, name != ""
	}
	at := strings.Split(rest, "/")
	for i, part := range at {
		if !strings.Contains(part, "~") {
			continue
		}
		// RFC 6901, section 3: a tilde is followed by 0 or 1.
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(part), "~") {
			return nil, false
		}
		at[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
	}
	return at, true
}

// pointer is the JSON pointer of at.
func pointer(at []string) string {
	var b strings.Builder
	for _, part := range at {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	return b.String()
}

// at returns the value that at leads to through objects, or nil. The elements of an array have no names, so that no rule
// depends on their order.
func (c *Claims) at(at []string) any {
	var v any = c.all
	for _, part := range at {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[part]
	}
	return v
}

func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	}
	return "", false
}

// ID returns the jti, or "".
func (c *Claims) ID() string {
	id, _ := c.all["jti"].(string)
	return id
}

// Expiry returns the time at which the token expires, or the zero time if it does not say so with a number.
func (c *Claims) Expiry() time.Time {
	t, _ := c.time("exp")
	return t
}

// time returns a NumericDate (RFC 7519, section 2), without its fraction. There is one if ok; otherwise the zero time is
// returned, also for what is not a number of seconds between 1970 and the year 9999.
func (c *Claims) time(name string) (t time.Time, ok bool) {
	v, ok := c.all[name]
	if !ok {
		return time.Time{}, false
	}
	n, isNumber := v.(json.Number)
	if !isNumber {
		return time.Time{}, true
	}
	s, err := n.Float64()
	if err != nil || !(s >= 0 && s < 253402300800) {
		return time.Time{}, true
	}
	return time.Unix(int64(math.Floor(s)), 0).UTC(), true
}

// audience returns the aud, which is a string or an array of strings (RFC 7519, section 4.1.3). It returns false for
// anything else.
func (c *Claims) audience() ([]string, bool) {
	switch v := c.all["aud"].(type) {
	case string:
		return []string{v}, true
	case []any:
		var all []string
		for _, one := range v {
			s, ok := one.(string)
			if !ok {
				return nil, false
			}
			all = append(all, s)
		}
		return all, true
	}
	return nil, false
}

// Show shortens what a token says to what findings have of it. Whoever made the token chose the text, and people read it
// in a terminal, so that what does not print is replaced.
func Show(s string) string {
	// No rune becomes shorter than three quarters of what it was, so that enough remains.
	s = s[:min(len(s), 2*maxShown)]
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
	if len(s) <= maxShown {
		return s
	}
	s = s[:maxShown-len("…")]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
