package endpoint

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/watchword-dev/watchword/server/internal/web"
)

// form is the parameters of a request, as sent, without those that have no value. It is short: a
// list is faster than a map.
type form []parameter

type parameter struct{ name, value string }

// MaxParameters in one form. Standard requests have a dozen at most.
const MaxParameters = 100

// get is the value of a parameter, "" when it was not sent.
func (f form) get(name string) string {
	for _, p := range f {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// all are the values of a parameter that may be sent several times.
func (f form) all(name string) (values []string) {
	for _, p := range f {
		if p.name == name {
			values = append(values, p.value)
		}
	}
	return values
}

// mayRepeat: RFC 8707, section 2, and RFC 8693, section 2.1.
func mayRepeat(name string) bool { return name == "resource" || name == "audience" }

// queryFault refuses a credential in the query, which every proxy on the way writes to its log (RFC 6749, section
// 2.3.1). Other parameters there are ignored.
func queryFault(u *url.URL) *problem {
	if u.RawQuery == "" {
		return nil
	}
	for _, name := range []string{"client_secret", "client_assertion"} {
		if u.Query().Has(name) {
			return malformed("credential_in_query", name+" is in the query, and so in the logs of proxies: send it in the body, and replace it if it is a secret")
		}
	}
	return nil
}

// readForm reads the body of a request.
func readForm(r *http.Request) (form, *problem) {
	if bad := mediaType(r.Header); bad != nil {
		return nil, bad
	}
	body, err := readBody(r)
	switch {
	case len(body) > web.BodyLimit || r.ContentLength > web.BodyLimit:
		return nil, tooLarge()
	case err != nil:
		return nil, malformed("unreadable_body", "the body could not be read")
	}
	f, err := parseForm(string(body))
	if err != nil {
		return nil, malformed("malformed_body", err.Error())
	}
	return f, nil
}

// shortBody is for what memory is taken before it has arrived: anyone can say that much follows.
const shortBody = 16 << 10

// readBody reads one byte more than the limit at most, and nothing when the length says that it is
// too long. In one piece: io.Copy would take 32 KiB for each of these few hundred bytes.
func readBody(r *http.Request) ([]byte, error) {
	switch {
	case r.ContentLength > web.BodyLimit:
		return nil, nil
	case r.ContentLength < 0 || r.ContentLength > shortBody:
		return io.ReadAll(io.LimitReader(r.Body, web.BodyLimit+1))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// tooLarge also ends the connection, so that the rest of the body is not read.
func tooLarge() *problem {
	bad := malformed("body_too_large", "the body is larger than 64 KiB")
	bad.status, bad.header = http.StatusRequestEntityTooLarge, http.Header{"Connection": {"close"}}
	return bad
}

const formType = "application/x-www-form-urlencoded"

func mediaType(h http.Header) *problem {
	if isEncoded(h) {
		bad := malformed("unsupported_encoding", "send the body as it is, not compressed")
		bad.status = http.StatusUnsupportedMediaType
		return bad
	}
	if !isType(h["Content-Type"], formType) {
		// RFC 6749 knows the one type only, and 400 for all that is wrong with a request.
		return malformed("unsupported_media_type", "send the parameters in the body, as Content-Type: "+formType)
	}
	return nil
}

// isEncoded reports whether a body is compressed, or may be.
func isEncoded(h http.Header) bool {
	e := h["Content-Encoding"]
	return len(e) > 1 || len(e) == 1 && e[0] != "" && !strings.EqualFold(e[0], "identity")
}

// isType reports whether a Content-Type header is there once and is want, in UTF-8.
func isType(values []string, want string) bool {
	if len(values) != 1 || values[0] == want {
		return len(values) == 1
	}
	t, params, err := mime.ParseMediaType(values[0])
	charset := params["charset"]
	return err == nil && t == want && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

var (
	errEncoding   = errors.New("the body must be name=value pairs joined by &, percent-encoded UTF-8")
	errRepeated   = errors.New("a parameter is repeated")
	errParameters = errors.New("there are too many parameters")
)

// parseForm is strict where net/url is not: it loses nothing, and of two values it does not
// choose one. RFC 6749, section 3.2: parameters must not be repeated, and one without a value
// is as if it were not there.
func parseForm(s string) (form, error) {
	if s == "" {
		return nil, nil
	}
	if strings.Count(s, "&") >= MaxParameters {
		return nil, errParameters
	}
	all := make(form, 0, 8)
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		p := parameter{}
		var err error
		if p.name, err = decode(name); err != nil {
			return nil, err
		}
		if p.value, err = decode(value); err != nil {
			return nil, err
		}
		if !mayRepeat(p.name) {
			for _, other := range all {
				if other.name == p.name {
					return nil, errRepeated
				}
			}
		}
		all = append(all, p)
	}
	f := all[:0]
	for _, p := range all {
		if p.value != "" {
			f = append(f, p)
		}
	}
	return f, nil
}

// decode undoes the encoding of one name or value. A semicolon was a separator once, and is none
// here: a program that takes it for one reads another form. PostgreSQL has no text with NUL in it.
func decode(s string) (string, error) {
	if strings.IndexByte(s, ';') >= 0 {
		return "", errEncoding
	}
	v, err := url.QueryUnescape(s)
	if err != nil || !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0 {
		return "", errEncoding
	}
	return v, nil
}
