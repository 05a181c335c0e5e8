// Package redact takes out of a text what has the shape of one of Watchword's secrets, so that a
// secret that somebody sent in the wrong place is written nowhere. It does not know whether such a
// secret is in force, nor secrets that have no shape of their own, such as the API keys that
// operators choose for the SuperTokens interface.
package redact

import (
	"regexp"
	"strings"
)

// The prefixes by which people, and programs that look for leaked secrets, know a secret.
const (
	ClientSecret  = "wws_"
	OperatorToken = "wwo_"
)

// Mark stands in the place of a secret.
const Mark = "[secret]"

// shapes are: a prefixed secret; a token or an assertion (a JWS or JWE in compact form begins with
// the base64 of `{"`); and a private key, as PEM or as JWK, of which all that follows is taken out.
var shapes = regexp.MustCompile(`ww[so]_[A-Za-z0-9_-]{8,}` +
	`|\beyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_.-]+` +
	`|(?s:-----BEGIN [A-Z ]*PRIVATE KEY.*)` +
	`|(?s:"d" *: *".*)`)

// Text is s without what has the shape of a secret.
func Text(s string) string {
	// Most texts are names and ids, and this runs for every token.
	if len(s) < 12 || strings.IndexByte(s, '_') < 0 && strings.IndexByte(s, '.') < 0 && strings.IndexByte(s, '"') < 0 && strings.IndexByte(s, '-') < 0 {
		return s
	}
	if !strings.Contains(s, ClientSecret) && !strings.Contains(s, OperatorToken) && !strings.Contains(s, "eyJ") &&
		!strings.Contains(s, "PRIVATE KEY") && !strings.Contains(s, `"d"`) {
		return s
	}
	return shapes.ReplaceAllString(s, Mark)
}
