package issuer

import (
	"encoding/json"
	"strconv"
	"time"
)

// claims of a token about to be signed. Times are whole seconds.
type claims struct {
	subject, audience, id, scope string
	issuedAt, expiry             time.Time
}

// claimsBuilder writes claim sets. Its strings are names, scopes and ids, which
// directory.ParseName and directory.ParseScopes keep free of anything JSON escapes; only the
// issuer, which an operator configures, is encoded, once.
type claimsBuilder struct{ issuer string }

func newClaimsBuilder(issuer string) claimsBuilder {
	b, _ := json.Marshal(issuer)
	return claimsBuilder{string(b)}
}

// payload is the claim set as JSON, in the order of RFC 7519, section 4.1.
func (b claimsBuilder) payload(c claims) []byte {
	p := make([]byte, 0, 192+len(c.scope))
	p = append(p, `{"iss":`...)
	p = append(p, b.issuer...)
	p = append(p, `,"sub":"`...)
	p = append(p, c.subject...)
	p = append(p, `","aud":"`...)
	p = append(p, c.audience...)
	p = append(p, `","exp":`...)
	p = strconv.AppendInt(p, c.expiry.Unix(), 10)
	p = append(p, `,"iat":`...)
	p = strconv.AppendInt(p, c.issuedAt.Unix(), 10)
	p = append(p, `,"jti":"`...)
	p = append(p, c.id...)
	p = append(p, '"')
	if c.scope != "" {
		p = append(p, `,"scope":"`...)
		p = append(p, c.scope...)
		p = append(p, '"')
	}
	return append(p, '}')
}
