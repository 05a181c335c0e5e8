package supertokens

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxTime is the last exp, in seconds: the largest integer that every reader of JSON keeps
// exactly (RFC 7493, section 2.2).
const maxTime = 1<<53 - 1

// errClaimType: a number that the core's JWT library cannot hold. The text is the core's; its
// status there is 500, but no endpoint of ours answers 500 because of what was sent.
var errClaimType = errors.New("java.lang.IllegalArgumentException: Claim values must only be of types " +
	"Map, List, Boolean, Integer, Long, Double, String, Date, Instant, and Null")

// member is a name and a value of an object, the value without white space around it.
type member struct {
	name  string
	value jsontext.Value
}

// parseObject reads one object and nothing after it, in its order. Repeated names, at any
// depth, and invalid UTF-8 are errors.
func parseObject(data []byte) ([]member, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	if t, err := dec.ReadToken(); err != nil {
		return nil, err
	} else if t.Kind() != '{' {
		return nil, errJSON
	}
	var members []member
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		m.value = value.Clone()
		members = append(members, m)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errJSON
	}
	return members, nil
}

// claimSet is the claims of a token, in their order.
type claimSet []member

// buildClaims makes iat, exp and iss and then the payload's claims, in their order. A claim
// of the payload wins over the made one, in the place of that one for iat and exp; an iss of
// null counts as one.
func buildClaims(req jwtRequest, now int64) (claimSet, error) {
	payload, err := parseObject(req.payload)
	if err != nil {
		return nil, errJSON
	}
	if err := checkNumbers(req.payload); err != nil {
		return nil, err
	}
	// STJ-008: the sum must not wrap.
	if req.validity > maxTime-now {
		return nil, fieldError("validity")
	}
	claims := claimSet{
		{"iat", integer(now)},
		{"exp", integer(now + req.validity)},
	}
	if _, ok := claimSet(payload).find("iss"); !ok {
		claims = append(claims, member{"iss", quote(req.jwksDomain)})
	}
	for _, m := range payload {
		if err := m.value.Compact(); err != nil {
			return nil, errJSON
		}
		switch m.name {
		case "iat":
			claims[0] = m
			continue
		case "exp":
			claims[1] = m
			continue
		case "aud":
			if m.value = audience(m.value); m.value == nil {
				continue
			}
		}
		claims = append(claims, m)
	}
	return claims, nil
}

// checkNumbers refuses integers of more than 64 bits and numbers beyond a double, at any
// depth. All others are signed as they were written.
func checkNumbers(payload jsontext.Value) error {
	dec := jsontext.NewDecoder(bytes.NewReader(payload))
	for {
		t, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return errJSON
		}
		if t.Kind() != '0' {
			continue
		}
		number := t.String()
		if strings.ContainsAny(number, ".eE") {
			_, err = strconv.ParseFloat(number, 64)
		} else {
			_, err = strconv.ParseInt(number, 10, 64)
		}
		if err != nil {
			return errClaimType
		}
	}
}

// audience keeps a string and the strings of an array, one alone as a string (RFC 7519,
// section 4.1.3). Nothing left: nil, and the claim is dropped.
func audience(value jsontext.Value) jsontext.Value {
	switch value.Kind() {
	case '"':
		return value
	case '[':
	default:
		return nil
	}
	dec := jsontext.NewDecoder(bytes.NewReader(value))
	_, _ = dec.ReadToken() // what was read is looked at afterwards
	var list [][]byte
	for kind := dec.PeekKind(); kind != ']'; kind = dec.PeekKind() {
		element, err := dec.ReadValue()
		if err != nil {
			return nil // cannot be: the whole was read before
		}
		if kind == '"' {
			list = append(list, element.Clone())
		}
	}
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	default:
		return jsontext.Value("[" + string(bytes.Join(list, []byte(","))) + "]")
	}
}

func (c claimSet) find(name string) (jsontext.Value, bool) {
	for _, m := range c {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// isAhead reports whether the claims can make a credential of server, and an iat that is still to come: it would
// outlive the service, since a service of the same name that is made meanwhile would be older.
func (c claimSet) isAhead(server string, now time.Time) bool {
	for _, name := range []string{"iss", "aud"} {
		if value, ok := c.find(name); !ok || value.Kind() != '"' || unquote(value) != server {
			return false
		}
	}
	iat, _ := c.find("iat")
	at, err := strconv.ParseFloat(string(iat), 64)
	return err == nil && at > float64(now.Unix())
}

func (c claimSet) json() []byte {
	b := []byte{'{'}
	for i, m := range c {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, quote(m.name)...), ':')
		b = append(b, m.value...)
	}
	return append(b, '}')
}

// describe says for the audit log what is signed: the claims that make a token somebody's,
// with the exp that counts.
func (c claimSet) describe() (jti string, detail map[string]string) {
	detail = map[string]string{}
	for _, name := range []string{"iss", "sub", "aud", "exp"} {
		if value, ok := c.find(name); ok {
			detail[name] = brief(value)
		}
	}
	if value, ok := c.find("jti"); ok {
		jti = brief(value)
	}
	return jti, detail
}

// maxDetail bounds what a client can write into one field of the audit log.
const maxDetail = 256

func brief(value jsontext.Value) string {
	s := string(value)
	if value.Kind() == '"' {
		s = unquote(value)
	}
	if len(s) <= maxDetail {
		return s
	}
	cut := maxDetail
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

func integer(n int64) jsontext.Value { return strconv.AppendInt(nil, n, 10) }

// quote and unquote are for text that came out of a valid JSON text or goes into one, so there
// is nothing to fail.
func quote(s string) jsontext.Value {
	b, _ := jsontext.AppendQuote(nil, s)
	return b
}

func unquote(value jsontext.Value) string {
	b, _ := jsontext.AppendUnquote(nil, value)
	return string(b)
}
