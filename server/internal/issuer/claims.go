package issuer

import (
	"encoding/json"
	"strconv"
	"time"
)

// claims of a token about to be signed. Times are whole seconds. Empty members are left out.
type claims struct {
	oauth            bool // of TokenEndpoint: its issuer
	subject          string
	audiences        []string
	id, scope        string
	issuedAt, expiry time.Time
	clientID         string
	key, certificate string // cnf
	actors           []string
	mayAct           string
	mayActUID        string
	targets          []string // uids
	deps             []string
	depKeys          []string // kids
	statusURI        string
	statusIndex      int64
}

// claimsBuilder writes claim sets. Their strings are names, scopes and ids, which
// directory.ParseName and directory.ParseScopes keep free of anything JSON escapes; the issuers,
// which an operator configures, are encoded once, and audiences that are URIs each time.
type claimsBuilder struct{ plainIssuer, issuer []byte }

func newClaimsBuilder(plainIssuer, issuer string) claimsBuilder {
	return claimsBuilder{appendQuoted(nil, plainIssuer), appendQuoted(nil, issuer)}
}

// payload is the claim set as JSON: the registered claims of RFC 7519, section 4.1, then those
// of RFC 9068 and the others.
func (b claimsBuilder) payload(c *claims) []byte {
	p := make([]byte, 0, 384+len(c.scope)+40*(len(c.deps)+len(c.targets)))
	p = append(p, `{"iss":`...)
	if c.oauth {
		p = append(p, b.issuer...)
	} else {
		p = append(p, b.plainIssuer...)
	}
	p = appendMember(p, "sub", c.subject)
	p = append(p, `,"aud":`...)
	p = appendAudience(p, c.audiences)
	p = append(p, `,"exp":`...)
	p = strconv.AppendInt(p, c.expiry.Unix(), 10)
	p = append(p, `,"iat":`...)
	p = strconv.AppendInt(p, c.issuedAt.Unix(), 10)
	p = appendMember(p, "jti", c.id)
	if c.scope != "" {
		p = appendMember(p, "scope", c.scope)
	}
	if c.clientID != "" {
		p = appendMember(p, "client_id", c.clientID)
	}
	p = appendConfirmation(p, c.key, c.certificate)
	p = appendActors(p, c.actors)
	if c.mayAct != "" {
		p = append(p, `,"may_act":{"sub":"`...)
		p = append(p, c.mayAct...)
		p = append(p, `","uid":"`...)
		p = append(p, c.mayActUID...)
		p = append(p, `"}`...)
	}
	p = appendIDs(p, "targets", c.targets)
	p = appendIDs(p, "deps", c.deps)
	p = appendIDs(p, "dep_keys", c.depKeys)
	if c.statusURI != "" {
		p = append(p, `,"status":{"status_list":{"idx":`...)
		p = strconv.AppendInt(p, c.statusIndex, 10)
		p = append(p, `,"uri":`...)
		p = appendQuoted(p, c.statusURI)
		p = append(p, `}}`...)
	}
	return append(p, '}')
}

func appendMember(p []byte, name, value string) []byte {
	p = append(p, `,"`...)
	p = append(p, name...)
	p = append(p, `":"`...)
	p = append(p, value...)
	return append(p, '"')
}

// appendAudience writes one audience as a string: a token for one service says so.
func appendAudience(p []byte, audiences []string) []byte {
	if len(audiences) == 1 {
		return appendQuoted(p, audiences[0])
	}
	for i, a := range audiences {
		p = append(p, "[,"[min(i, 1)])
		p = appendQuoted(p, a)
	}
	return append(p, ']')
}

// appendConfirmation: RFC 7800; RFC 9449, section 6.1; RFC 8705, section 3.1.
func appendConfirmation(p []byte, key, certificate string) []byte {
	if key == "" && certificate == "" {
		return p
	}
	p = append(p, `,"cnf":{`...)
	if key != "" {
		p = append(p, `"jkt":"`...)
		p = append(p, key...)
		p = append(p, '"')
	}
	if certificate != "" {
		if key != "" {
			p = append(p, ',')
		}
		p = append(p, `"x5t#S256":"`...)
		p = append(p, certificate...)
		p = append(p, '"')
	}
	return append(p, '}')
}

// appendActors nests the actors, the current one outermost (RFC 8693, section 4.1).
func appendActors(p []byte, actors []string) []byte {
	for _, a := range actors {
		p = append(p, `,"act":{"sub":"`...)
		p = append(p, a...)
		p = append(p, '"')
	}
	for range actors {
		p = append(p, '}')
	}
	return p
}

func appendIDs(p []byte, name string, ids []string) []byte {
	for i, id := range ids {
		if i == 0 {
			p = append(p, `,"`...)
			p = append(p, name...)
			p = append(p, `":["`...)
		} else {
			p = append(p, `,"`...)
		}
		p = append(p, id...)
		p = append(p, '"')
	}
	if len(ids) > 0 {
		p = append(p, ']')
	}
	return p
}

// appendQuoted writes s as JSON. Most has nothing to escape.
func appendQuoted(p []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b, _ := json.Marshal(s)
			return append(p, b...)
		}
	}
	p = append(p, '"')
	p = append(p, s...)
	return append(p, '"')
}
