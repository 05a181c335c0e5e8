package supertokens

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// jwtRequest is the body of POST /recipe/jwt.
type jwtRequest struct {
	algorithm  string
	jwksDomain string
	payload    jsontext.Value
	validity   int64 // seconds
	static     bool
}

// createJWT records what it refuses too; a token was recorded before it was signed.
func (d *Interface) createJWT(c *call) *reply {
	a := d.mint(c)
	if c.recorded || a.status >= http.StatusInternalServerError {
		return a
	}
	e := d.event(c, audit.Refused)
	e.Reason = "invalid_request"
	if a.json {
		e.Reason = "unsupported_algorithm"
	}
	e.Detail = map[string]string{"app": c.app, "status": strconv.Itoa(a.status)}
	if err := d.record(c, e); err != nil {
		return d.unavailable(c, "record a refused token", err)
	}
	return a
}

// KeyedBodyLimit is how many bytes of a body are read of a caller with an API key. The core takes as much and more. An
// app that does not exist asks for no key.
const KeyedBodyLimit = 1 << 20

func (d *Interface) mint(c *call) *reply {
	limit := int64(web.BodyLimit)
	if c.keyed {
		limit = KeyedBodyLimit
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return text(http.StatusRequestEntityTooLarge, fmt.Sprintf("Request body is larger than %d bytes", limit))
	} else if err != nil {
		return text(http.StatusBadRequest, "Invalid Json Input")
	}
	req, err := parseJWTRequest(body, c.version)
	if err != nil {
		return text(http.StatusBadRequest, err.Error())
	}
	if refusal := d.checkApp(c); refusal != nil {
		return refusal
	}
	if strings.ToUpper(req.algorithm) != "RS256" {
		return jsonText(`{"status":"UNSUPPORTED_ALGORITHM_ERROR"}`)
	}
	now := d.now()
	claims, err := buildClaims(req, now.Unix())
	if err != nil {
		return text(http.StatusBadRequest, err.Error())
	}
	if claims.isAhead(d.server, now) {
		return text(http.StatusBadRequest, "iat is later than now: a token that can be a credential of "+d.server+" must contain the time at which it was made")
	}
	keys, err := d.rings[c.app].keys(c.r.Context())
	if err != nil {
		return d.unavailable(c, "sign a token", err)
	}
	key := keys.signer(req.static, now)
	if key == nil {
		return d.unavailable(c, "sign a token", errNoKey)
	}
	e := d.event(c, audit.Allowed)
	e.KeyID = key.id
	e.Token, e.Detail = claims.describe()
	e.Detail["app"] = c.app
	e.Detail["validity"] = strconv.FormatInt(req.validity, 10)
	if err := d.record(c, e); err != nil {
		return d.unavailable(c, "record a token", err)
	}
	token, err := key.sign(claims.json())
	if err != nil {
		return d.unavailable(c, "sign a token", err)
	}
	return jsonText(`{"status":"OK","jwt":"` + token + `"}`)
}

var errJSON = errors.New("Invalid Json Input") //nolint:staticcheck // the words of the SuperTokens core

// fieldError is a member that is missing or of the wrong type.
type fieldError string

func (e fieldError) Error() string { return "Field name '" + string(e) + "' is invalid in JSON input" }

// parseJWTRequest checks the members in the core's order. Its errors are the answers' texts.
// Members it does not know are ignored, but a repeated one is refused whatever its name.
func parseJWTRequest(body []byte, v version) (req jwtRequest, err error) {
	members, err := parseObject(body)
	if err != nil {
		return req, errJSON
	}
	fields := map[string]jsontext.Value{}
	for _, m := range members {
		fields[m.name] = m.value
	}
	if req.algorithm, err = stringField(fields, "algorithm"); err != nil {
		return req, err
	}
	if req.jwksDomain, err = stringField(fields, "jwksDomain"); err != nil {
		return req, err
	}
	if req.payload = fields["payload"]; req.payload.Kind() != '{' {
		return req, fieldError("payload")
	}
	if req.validity, err = validityField(fields["validity"]); err != nil {
		return req, err
	}
	req.static = true
	// Older clients may send anything here: the member means nothing to them.
	if value, sent := fields["useStaticSigningKey"]; sent && v.atLeast("2.21") {
		switch value.Kind() {
		case 't':
		case 'f':
			req.static = false
		default:
			return req, fieldError("useStaticSigningKey")
		}
	}
	return req, nil
}

func stringField(fields map[string]jsontext.Value, name string) (string, error) {
	value := fields[name]
	if value.Kind() != '"' {
		return "", fieldError(name)
	}
	return unquote(value), nil
}

// validityField truncates to whole seconds. The core multiplies by 1000 in 64 bits; a validity
// that makes no sensible exp is refused, here or in buildClaims.
func validityField(value jsontext.Value) (int64, error) {
	if value.Kind() != '0' {
		return 0, fieldError("validity")
	}
	n, err := truncate(string(value))
	if err != nil {
		return 0, fieldError("validity")
	}
	if n <= 0 {
		return 0, errors.New("validity must be greater than or equal to 0")
	}
	return n, nil
}

// truncate reads a JSON number, rounded towards zero. A number that is negative and too
// large is the smallest integer.
func truncate(number string) (int64, error) {
	if strings.ContainsAny(number, "eE") {
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || f > maxTime {
			return 0, strconv.ErrRange
		}
		return int64(max(f, -maxTime)), nil
	}
	whole, _, _ := strings.Cut(number, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil && !strings.HasPrefix(whole, "-") {
		return 0, strconv.ErrRange
	}
	return n, nil
}
