package endpoint

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func formRequest(body string, header ...string) *http.Request {
	r := httptest.NewRequest("POST", "/oauth2/token?grant_type=password&client_secret=inquery", strings.NewReader(body))
	if !slices.Contains(header, "Content-Type") {
		r.Header.Set("Content-Type", formType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func TestFormIsReadAsSent(t *testing.T) {
	for _, c := range []struct {
		body string
		want form
	}{
		{"", nil},
		{"a=1&b=2", form{{"a", "1"}, {"b", "2"}}},
		{"a=&b", form{}},
		{"a=x+y%2Bz%3B%C3%A9", form{{"a", "x y+z;é"}}},
		{"resource=https%3A%2F%2Fa&resource=b&audience=c&audience=d", form{{"resource", "https://a"}, {"resource", "b"}, {"audience", "c"}, {"audience", "d"}}},
		{"&&a=1&", form{{"a", "1"}}},
		{"a==", form{{"a", "="}}},
	} {
		f, bad := readForm(formRequest(c.body))
		if bad != nil || !slices.Equal(f, c.want) {
			t.Errorf("%q: got %v, %+v, want %v", c.body, f, bad, c.want)
		}
	}
}

// TOK-004: what is in the query is nowhere.
func TestQueryIsNeverRead(t *testing.T) {
	f, bad := readForm(formRequest(""))
	if bad != nil || len(f) != 0 {
		t.Errorf("got %v, %+v", f, bad)
	}
}

// TOK-005, TOK-006, TOK-014, TOK-030, TOK-032, TOK-033, TOK-034, TOK-035.
func TestFormThatIsNotStrictIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		r      *http.Request
		status int
	}{
		"semicolon":            {formRequest("grant_type=client_credentials;audience=m2"), 0},
		"semicolon in a name":  {formRequest("a;b=1"), 0},
		"bad escape":           {formRequest("grant_type=%zz"), 0},
		"cut escape":           {formRequest("grant_type=%4"), 0},
		"NUL":                  {formRequest("client_id=%00m1"), 0},
		"NUL at the end":       {formRequest("client_id=m1%00"), 0},
		"bad UTF-8":            {formRequest("client_id=%ff%fe"), 0},
		"bad UTF-8 in a name":  {formRequest("%ff=1"), 0},
		"repeated":             {formRequest("grant_type=a&grant_type=a"), 0},
		"repeated differently": {formRequest("grant_type=a&grant_type=b"), 0},
		"repeated as escape":   {formRequest("scope=a&%73cope=b"), 0},
		"repeated, once empty": {formRequest("scope=&scope=b"), 0},
		"repeated, unknown":    {formRequest("foo=1&foo=2"), 0},
		"too many":             {formRequest(strings.Repeat("resource=a&", MaxParameters)), 0},
		"JSON":                 {formRequest(`{"grant_type":"client_credentials"}`, "Content-Type", "application/json"), 0},
		"multipart":            {formRequest("x", "Content-Type", "multipart/form-data; boundary=x"), 0},
		"no type":              {formRequest("a=1", "Content-Type", ""), 0},
		"two types":            {formRequest("a=1", "Content-Type", formType, "Content-Type", formType), 0},
		"charset":              {formRequest("a=1", "Content-Type", formType+"; charset=utf-16"), 0},
		"gzip":                 {formRequest("a=1", "Content-Encoding", "gzip"), 415},
		"two encodings":        {formRequest("a=1", "Content-Encoding", "identity", "Content-Encoding", "gzip"), 415},
		"too large":            {formRequest("a=" + strings.Repeat("x", 64<<10)), 413},
	} {
		if f, bad := readForm(c.r); bad == nil || bad.status != c.status {
			t.Errorf("%s: got %v, %+v, want status %d", name, f, bad, c.status)
		}
	}
	for _, h := range [][]string{{"Content-Type", formType + ";charset=UTF-8"}, {"Content-Type", "Application/X-WWW-Form-Urlencoded"}, {"Content-Encoding", "identity"}} {
		if _, bad := readForm(formRequest("a=1", h...)); bad != nil {
			t.Errorf("%v: got %+v", h, bad)
		}
	}
}

// TOK-030: of a body without a length that does not end, 64 KiB are read.
func TestEndlessBodyIsNotRead(t *testing.T) {
	var read int
	r := formRequest("")
	r.ContentLength = -1
	r.Body = io.NopCloser(endless{&read})
	if _, bad := readForm(r); bad == nil || bad.status != 413 || bad.header.Get("Connection") != "close" {
		t.Errorf("got %+v", bad)
	}
	if read > 64<<10+1 {
		t.Errorf("%d bytes were read", read)
	}
}

type endless struct{ read *int }

func (e endless) Read(b []byte) (int, error) { *e.read += len(b); return len(b), nil }

// FuzzForm: what is accepted, net/url reads the same way.
func FuzzForm(f *testing.F) {
	for _, s := range []string{
		"", "a=1&b=2", "grant_type=client_credentials;audience=m2", "a=%zz", "a=%00", "a=%ff", "a&a", "resource=1&resource=2",
		"a=&a=1", "&&=&=", "%61=1&a=2", "a=x+y%2B", "scope=" + strings.Repeat("a+", 100), strings.Repeat("&", 200),
		"scope=" + strings.Repeat("x", 4000), "audience=" + strings.Repeat("%01", 240), // F04, F02
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseForm(s)
		if err != nil {
			return
		}
		want, err := url.ParseQuery(s)
		if err != nil {
			t.Fatalf("accepted %q, which net/url does not: %v", s, err)
		}
		for _, p := range got {
			switch values := want[p.name]; {
			case !slices.Contains(values, p.value):
				t.Errorf("%q: %q=%q is not in %v", s, p.name, p.value, values)
			case len(values) > 1 && !mayRepeat(p.name):
				t.Errorf("%q: %q was accepted %d times", s, p.name, len(values))
			}
		}
	})
}
