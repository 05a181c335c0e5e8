package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

const (
	maxAnswer       = 64 << 10
	maxToken        = 16 << 10
	defaultLifetime = 5 * time.Minute
	maxLifetime     = 366 * 24 * time.Hour
)

// grant is a token as received from the server.
type grant struct {
	token    string
	lifetime time.Duration
	cert     *certificate // that the connection presented
}

// parseAnswer reads the answer of POST /accesstoken, or a token response of RFC 6749, section 5.1. It
// ignores unknown members. bound reports whether the token must be bound to the DPoP key.
func parseAnswer(body []byte, q ask, bound bool, now time.Time) (grant, error) {
	if len(body) > maxAnswer {
		return grant{}, fmt.Errorf("its answer is longer than %d bytes", maxAnswer)
	}
	var a struct {
		AccessToken  json.RawMessage `json:"accessToken"`
		AccessToken2 json.RawMessage `json:"access_token"`
		ExpiresIn    json.RawMessage `json:"expiresIn"`
		ExpiresIn2   json.RawMessage `json:"expires_in"`
		TokenType    json.RawMessage `json:"tokenType"`
		TokenType2   json.RawMessage `json:"token_type"`
		IssuedType   json.RawMessage `json:"issued_token_type"`
	}
	if err := strictjson.Unmarshal(body, &a); err != nil {
		// The error may quote the body, and so the token.
		return grant{}, errors.New("its answer is not one well-formed JSON object")
	}
	token, err := either("accessToken", a.AccessToken, a.AccessToken2, parseToken)
	if err != nil {
		return grant{}, err
	}
	if token == "" {
		return grant{}, errors.New("its answer has no accessToken")
	}
	kind, err := either("tokenType", a.TokenType, a.TokenType2, parseString)
	if err != nil {
		return grant{}, err
	}
	if err := checkType(kind, bound); err != nil {
		return grant{}, err
	}
	if q.incoming != "" {
		if err := checkIssuedType(a.IssuedType); err != nil {
			return grant{}, err
		}
	}
	lifetime, err := either("expiresIn", a.ExpiresIn, a.ExpiresIn2, parseSeconds)
	if err != nil {
		return grant{}, err
	}
	if lifetime == 0 {
		if lifetime, err = lifetimeOf(token, now); err != nil {
			return grant{}, err
		}
	}
	return grant{token: token, lifetime: lifetime}, nil
}

// checkType checks the token type, which is not case-sensitive (RFC 6749, section 5.1). If a bound token was
// requested, a bearer token is refused, because it would work without the key (RFC 9449, section 5).
func checkType(kind string, bound bool) error {
	switch {
	case bound && !strings.EqualFold(kind, "dpop"):
		return errors.New("its token is not bound to the DPoP key")
	case !bound && kind != "" && !strings.EqualFold(kind, "bearer"):
		return errors.New("its token is not a bearer token; if it requires DPoP, set Config.DPoP")
	}
	return nil
}

// checkIssuedType checks the issued_token_type of an exchanged token (RFC 8693, section 2.2.1).
func checkIssuedType(raw json.RawMessage) error {
	if raw == nil {
		return errors.New("its answer has no issued_token_type")
	}
	if s, err := parseString(raw); err != nil || s != typeAccessToken && s != typeJWT {
		return errors.New("its answer's issued_token_type is not that of an access token")
	}
	return nil
}

// either parses a member that has two spellings. Having both is an error.
func either[T any](name string, a, b json.RawMessage, parse func(json.RawMessage) (T, error)) (T, error) {
	var v T
	if a != nil && b != nil {
		return v, fmt.Errorf("its answer has %s in two spellings", name)
	}
	if a == nil {
		a = b
	}
	if a == nil {
		return v, nil
	}
	v, err := parse(a)
	if err != nil {
		return v, fmt.Errorf("its answer's %s %w", name, err)
	}
	return v, nil
}

func parseString(raw json.RawMessage) (string, error) {
	var s *string
	if err := strictjson.Unmarshal(raw, &s); err != nil || s == nil || *s == "" {
		return "", errors.New("is not a string, or empty")
	}
	return *s, nil
}

func parseToken(raw json.RawMessage) (string, error) {
	s, err := parseString(raw)
	if err != nil {
		return "", err
	}
	if len(s) > maxToken || !isB64Token(s) {
		return "", errors.New("is too long or has characters that no token has")
	}
	return s, nil
}

func parseSeconds(raw json.RawMessage) (time.Duration, error) {
	n, err := strconv.ParseUint(string(raw), 10, 63)
	if err != nil || n == 0 || n > uint64(maxLifetime/time.Second) {
		return 0, errors.New("is not a whole number of seconds, at least 1 and at most a year")
	}
	return time.Duration(n) * time.Second, nil
}

// lifetimeOf returns the lifetime of a token whose answer has no expiresIn, from the claims of the token if
// it has any (RFC 6749, section 5.1, recommends the member but does not require it).
func lifetimeOf(token string, now time.Time) (time.Duration, error) {
	claims := peek(token)
	if claims.Exp == nil {
		return defaultLifetime, nil
	}
	from := float64(now.Unix())
	if claims.Iat != nil {
		from = *claims.Iat // so that the clock of this machine need not be right
	}
	seconds := *claims.Exp - from
	if !(seconds >= 1 && seconds <= maxLifetime.Seconds()) {
		return 0, errors.New("its token has expired, or lives longer than a year")
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

type hints struct {
	Sub string   `json:"sub"`
	Exp *float64 `json:"exp"`
	Iat *float64 `json:"iat"`
}

// peek reads claims without verifying the token. They are hints only.
func peek(jwt string) hints {
	var h hints
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return hints{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || strictjson.Unmarshal(payload, &h) != nil {
		return hints{}
	}
	return h
}

// subject returns the name in a credential, for messages.
func subject(credential string) string {
	s := peek(credential).Sub
	if len(s) > 128 || strings.ContainsFunc(s, func(r rune) bool { return r != '_' && !isB64Token(string(r)) }) {
		return ""
	}
	return s
}

// parseErrorCode returns the "error" of a refusal, or "" if it does not look like an error code.
func parseErrorCode(body []byte) string {
	var a struct {
		Error string `json:"error"`
	}
	if len(body) > maxAnswer || strictjson.Unmarshal(body, &a) != nil {
		return ""
	}
	if len(a.Error) > 64 || strings.Trim(a.Error, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return a.Error
}

// parseErrorDescription returns the "error_description" of a refusal, or "" if it has characters that it must
// not have (RFC 6749, section 5.2) or that have a meaning where logs are displayed.
func parseErrorDescription(body []byte) string {
	var a struct {
		Description string `json:"error_description"`
	}
	if len(body) > maxAnswer || strictjson.Unmarshal(body, &a) != nil {
		return ""
	}
	bad := func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"\<>`, r) }
	if len(a.Description) > 200 || strings.ContainsFunc(a.Description, bad) {
		return ""
	}
	return a.Description
}
