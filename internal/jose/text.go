package jose

import (
	"encoding/base64"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// text is a JSON string that may be absent. Unlike a Go string, it does not accept null.
type text struct {
	s   string
	set bool
}

var errNotString = errors.New("not a JSON string")

func (t *text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '"' {
		return errNotString
	}
	t.set = true
	return json.UnmarshalDecode(dec, &t.s)
}

// presence reports whether a member was present, with any value.
type presence bool

func (p *presence) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = true
	return dec.SkipValue()
}

// isBase64URL reports whether s has only characters of the base64url alphabet. Go's decoders ignore CR and LF, even
// in strict mode.
func isBase64URL(s string) bool {
	for i := range len(s) {
		if !base64URL[s[i]] {
			return false
		}
	}
	return true
}

var base64URL = func() (table [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		table[c] = true
	}
	return table
}()

// strictBase64 also refuses padding and trailing bits that are not zero.
var strictBase64 = base64.RawURLEncoding.Strict()
