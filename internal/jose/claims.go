package jose

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// Claims are the registered claims of a token. Absent strings and times are zero.
type Claims struct {
	Issuer, Subject, ID, Scope, ClientID string

	Audience        []string
	AudienceIsArray bool // whether aud was an array

	IssuedAt, NotBefore, Expiry time.Time

	// Bound reports whether there is a cnf claim, so that the token needs a proof of a key (RFC 7800). One or both of
	// the next fields identify the key, unless cnf identifies it in a way that this package does not support.
	Bound             bool
	KeyThumbprint     string // cnf.jkt: RFC 7638 thumbprint of a DPoP key (RFC 9449, section 6.1)
	CertificateSHA256 string // cnf.x5t#S256: hash of a certificate in base64url (RFC 8705, section 3.1)

	Actors []string // subs of the act chain, the current actor first (RFC 8693, section 4.1)
	MayAct string   // may_act.sub (RFC 8693, section 4.4)
	Deps   []string // deps: the ids on which the token depends, the uid of sub first

	DepKeys []string // dep_keys: the kids of the other keys that signed tokens from which it was exchanged
	Targets []string // targets: the uids of the services for which the token was issued, in the order of Audience

	Raw []byte // all claims
}

// ParseClaims reads a claim set. Repeated names, registered claims of the wrong type or null, and dates outside (0,
// MaxDate] are errors.
func ParseClaims(payload []byte) (*Claims, error) {
	var m struct {
		Issuer    text         `json:"iss"`
		Subject   text         `json:"sub"`
		ID        text         `json:"jti"`
		Scope     text         `json:"scope"`
		ClientID  text         `json:"client_id"`
		Audience  audience     `json:"aud"`
		IssuedAt  date         `json:"iat"`
		NotBefore date         `json:"nbf"`
		Expiry    date         `json:"exp"`
		Bound     confirmation `json:"cnf"`
		Actors    actors       `json:"act"`
		MayAct    party        `json:"may_act"`
		Deps      texts        `json:"deps"`
		DepKeys   texts        `json:"dep_keys"`
		Targets   texts        `json:"targets"`
	}
	// The error is not wrapped, because its text has parts of the claims.
	if err := strictjson.Unmarshal(payload, &m); err != nil {
		return nil, fmt.Errorf("%w claims: not one strict JSON object with registered claims of the right types", ErrMalformed)
	}
	if k := jsontext.Value(payload).Kind(); k != '{' {
		return nil, fmt.Errorf("%w claims: not a JSON object", ErrMalformed)
	}
	c := &Claims{
		Issuer: m.Issuer.s, Subject: m.Subject.s, ID: m.ID.s, Scope: m.Scope.s, ClientID: m.ClientID.s,
		Audience: m.Audience.values, AudienceIsArray: m.Audience.isArray,
		IssuedAt: m.IssuedAt.Time, NotBefore: m.NotBefore.Time, Expiry: m.Expiry.Time,
		Actors: m.Actors, MayAct: string(m.MayAct), Deps: m.Deps, DepKeys: m.DepKeys, Targets: m.Targets,
		Raw: payload,
	}
	if m.Bound.set {
		c.Bound, c.KeyThumbprint, c.CertificateSHA256 = true, m.Bound.Thumbprint.s, m.Bound.Certificate.s
	}
	return c, nil
}

// audience is a string or an array of strings (RFC 7519, section 4.1.3).
type audience struct {
	values  []string
	isArray bool
}

func (a *audience) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == '"' {
		a.values = make([]string, 1)
		return json.UnmarshalDecode(dec, &a.values[0])
	}
	a.isArray = true
	var values texts
	err := values.UnmarshalJSONFrom(dec)
	a.values = values
	return err
}

// maxDate is the last second of the year 9999, the last that RFC 3339 can write.
const maxDate = 253402300799

// date is a NumericDate: seconds since 1970, perhaps with a fraction (RFC 7519, section 2).
type date struct{ time.Time }

var errDate = errors.New("not a date after 1970 and before the year 10000")

func (d *date) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '0' {
		return errDate
	}
	number, err := dec.ReadToken()
	if err != nil {
		return err
	}
	// A float64 represents any such date with an error of at most a quarter of a microsecond.
	f, err := strconv.ParseFloat(number.String(), 64)
	if err != nil || !(f > 0 && f <= maxDate) {
		return errDate
	}
	seconds, fraction := math.Modf(f)
	d.Time = time.Unix(int64(seconds), int64(fraction*1e9))
	return nil
}
