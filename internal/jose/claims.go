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

// Claims are the registered claims of a token. A string or time that is absent is zero.
type Claims struct {
	Issuer, Subject, ID, Scope, ClientID string

	Audience        []string
	AudienceIsArray bool // aud was written as an array

	IssuedAt, NotBefore, Expiry time.Time

	// Bound: has cnf, so it is good only with proof of a key (RFC 7800). Of which key, one or both
	// of these say, unless it is a way of saying it that this package does not know.
	Bound             bool
	KeyThumbprint     string // cnf.jkt: RFC 7638 thumbprint of a DPoP key (RFC 9449, section 6.1)
	CertificateSHA256 string // cnf.x5t#S256: hash of a certificate in base64url (RFC 8705, section 3.1)

	Actors []string // subs of the act chain, the current actor first (RFC 8693, section 4.1)
	MayAct string   // may_act.sub (RFC 8693, section 4.4)
	Deps   []string // deps: ids this token is refused with, the uid of sub first

	Raw []byte // the whole claim set
}

// ParseClaims reads a claim set. Repeated names, a registered claim of another type than its
// own (null among them), and dates outside (0, MaxDate] are errors.
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
	}
	// The text of the error would quote the claims.
	if err := strictjson.Unmarshal(payload, &m); err != nil {
		return nil, fmt.Errorf("%w claims: not one strict JSON object with registered claims of their types", ErrMalformed)
	}
	if k := jsontext.Value(payload).Kind(); k != '{' {
		return nil, fmt.Errorf("%w claims: not a JSON object", ErrMalformed)
	}
	c := &Claims{
		Issuer: m.Issuer.s, Subject: m.Subject.s, ID: m.ID.s, Scope: m.Scope.s, ClientID: m.ClientID.s,
		Audience: m.Audience.values, AudienceIsArray: m.Audience.isArray,
		IssuedAt: m.IssuedAt.Time, NotBefore: m.NotBefore.Time, Expiry: m.Expiry.Time,
		Actors: m.Actors, MayAct: string(m.MayAct), Deps: m.Deps,
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
	// 64 bits of floating point hold any such date to a quarter of a microsecond.
	f, err := strconv.ParseFloat(number.String(), 64)
	if err != nil || !(f > 0 && f <= maxDate) {
		return errDate
	}
	seconds, fraction := math.Modf(f)
	d.Time = time.Unix(int64(seconds), int64(fraction*1e9))
	return nil
}
