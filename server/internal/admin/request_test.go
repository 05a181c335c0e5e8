package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/api"
)

// ADM-003.
func TestStrangePathsFindNothing(t *testing.T) {
	s := start(t)
	s.services("m1")
	for _, id := range []string{
		strings.Repeat("a", 10<<10), strings.Repeat("a", 7<<10), "%00", "m1%00", "..", "../", "../../etc/passwd", "%2e%2e%2f", "%2e%2e%2fkeys", "..%2fkeys", ".", "%2e",
		"m1%2F..%2Fm1", "%2Fm1", "m1%2F", "//m1", "m1/", "%ff%fe", "%C0%AE", "m1%20", "%20", "M1", "m1;x=1", "*", "%25", "'%20OR%201=1--", "%0d%0aX:y",
		"svc_00112233445566778899aabbccddeeff", strings.Repeat("0", 32), strings.Repeat("%00", 32), "m1%3F", "\u00e9", "{name}",
	} {
		for _, target := range []string{
			"/services/" + id, "/services/" + id + "/credentials", "/credentials/" + id, "/rules/" + id + "/m1", "/rules/m1/" + id,
			"/keys/" + id, "/" + id,
		} {
			r := s.request("GET", "/", "")
			u, err := url.ParseRequestURI(prefix + target)
			if err != nil {
				continue // net/http answers 400 before any handler
			}
			r.URL = u
			s.do(r).wantProblem(target, http.StatusNotFound)
		}
	}
	for _, id := range []string{strings.Repeat("a", 10<<10), strings.Repeat("a", 7<<10), "%00", "..%2fx", strings.Repeat("0", 32)} {
		for _, target := range []string{"/credentials/" + id + "/revoke", "/keys/" + id + "/revoke"} {
			want := http.StatusNotFound
			if len(target) > 8<<10 {
				want = http.StatusRequestURITooLong
			}
			s.ask("POST", target, "").wantProblem(target[:min(len(target), 40)], want)
		}
	}
	for target, status := range map[string]int{
		"/": http.StatusNotFound, "/admin": http.StatusNotFound, "/admin/v1": http.StatusNotFound, "/admin/v2/services": http.StatusNotFound,
		"/docs": http.StatusNotFound, "/openapi.yaml": http.StatusNotFound, "/openapi-3.0.json": http.StatusNotFound, "/schemas/Service": http.StatusNotFound,
	} {
		s.do(s.request("GET", target, "")).wantProblem(target, status)
	}
	a := s.ask("PUT", "/services", `{}`)
	a.wantProblem("an unknown method", http.StatusMethodNotAllowed)
	if a.Header().Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("got Allow %q", a.Header().Get("Allow"))
	}
	s.do(s.request("POST", "/openapi.json", `{}`)).wantProblem("POST /openapi.json", http.StatusMethodNotAllowed)
}

// ADM-008.
func TestMembersNobodyMaySetAreRefused(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{}`)
	state := func() string {
		return s.must("GET", "/services", "").Body.String() + s.must("GET", "/rules", "").Body.String() + s.must("GET", "/services/m1/credentials", "").Body.String()
	}
	before := state()
	for _, member := range []string{
		`"uid":"svc_00112233445566778899aabbccddeeff"`, `"version":7`, `"createdAt":"2001-01-01T00:00:00Z"`, `"updatedAt":"2001-01-01T00:00:00Z"`,
		`"tenant_id":"x"`, `"is_admin":true`, `"secret_hash":"x"`, `"material":"x"`, `"secret":"wws_x"`, `"status":"active"`, `"id":"x"`, `"revokedAt":null`, `"service":"m2"`, `"caller":"m2"`,
		`"Description":"wrong case"`, `"DISABLED":true`, `"__proto__":{}`, `"$schema":"x"`, `"":1`,
	} {
		for _, c := range []struct{ method, target, first string }{
			{"POST", "/services", `"name":"m3"`},
			{"PATCH", "/services/m1", `"description":"changed"`},
			{"PUT", "/rules/m1/m2", `"scopes":["changed"]`},
			{"POST", "/services/m1/credentials", `"name":"new"`},
			{"POST", "/keys/rotate", `"use":"access"`},
		} {
			body := "{" + c.first + "," + member + "}"
			s.ask(c.method, c.target, body).wantProblem(c.method+" "+c.target+" "+body, http.StatusBadRequest)
		}
	}
	// A name does not change.
	s.ask("PATCH", "/services/m1", `{"name":"m9"}`).wantProblem("rename", http.StatusBadRequest)
	if after := state(); after != before {
		t.Errorf("got %s, want %s", after, before)
	}
}

func TestBodiesAreStrictJSON(t *testing.T) {
	s := start(t)
	for name, body := range map[string]string{
		"repeated member":      `{"name":"m1","name":"m2"}`,
		"repeated, escaped":    `{"name":"m1","n\u0061me":"m2"}`,
		"wrong case":           `{"Name":"m1"}`,
		"trailing value":       `{"name":"m1"}{}`,
		"trailing text":        `{"name":"m1"} x`,
		"bad UTF-8":            "{\"name\":\"m1\",\"description\":\"\xff\"}",
		"lone surrogate":       `{"name":"m1","description":"\ud800"}`,
		"byte order mark":      "\xef\xbb\xbf" + `{"name":"m1"}`,
		"comment":              `{"name":"m1"/**/}`,
		"trailing comma":       `{"name":"m1",}`,
		"cut short":            `{"name":"m1"`,
		"array":                `[{"name":"m1"}]`,
		"string":               `"m1"`,
		"number for a string":  `{"name":1}`,
		"object for a string":  `{"name":{}}`,
		"string for a number":  `{"name":"m1","tokenTtlSeconds":"300"}`,
		"fraction":             `{"name":"m1","tokenTtlSeconds":1.5}`,
		"200 levels":           `{"name":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
		"a thousand members":   `{"name":[` + strings.Repeat("1,", 1000) + `1]}`,
		"only white space":     "  \n",
		"form":                 "name=m1",
		"nul":                  "\x00",
		"unknown inside known": `{"name":"m1","algorithm":{"alg":"none"}}`,
		"null":                 `null`,
		"null for a string":    `{"name":null}`,
		"null where optional":  `{"name":"m1","description":null}`,
	} {
		s.ask("POST", "/services", body).wantProblem(name, http.StatusBadRequest)
	}
	s.ask("POST", "/services", "", "Content-Type", "application/json").wantProblem("no body", http.StatusBadRequest)
	// F52: null in a change is refused, and does not mean that nothing changes.
	s.services("m1")
	for _, m := range settings {
		a := s.ask("PATCH", "/services/m1", `{"`+m.Name+`":null}`)
		a.wantProblem("null for "+m.Name, http.StatusBadRequest)
		if !strings.Contains(a.Body.String(), `"location":"body.`+m.Name+`"`) {
			t.Errorf("null for %s: got %s", m.Name, a.Body)
		}
	}
	s.must("DELETE", "/services/m1", "")
	// F16: what is told is where and what, and no Go type.
	a := s.ask("PUT", "/rules/m1/m2", `{"when":{"chian":"direct"}}`)
	a.wantProblem("a misspelt member", http.StatusBadRequest)
	if !strings.Contains(a.Body.String(), `"errors":[{"message":"there is no such member","location":"body.when.chian"}]`) {
		t.Errorf("got %s", a.Body)
	}
	if a := s.must("GET", "/services", ""); strings.TrimSpace(a.Body.String()) != `{"services":[]}` {
		t.Errorf("a malformed body made %s", a.Body)
	}
}

// What the document requires is required, and what is sent is held against it even when it is a zero.
func TestValuesAreAsTheDocumentHasThem(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	for _, c := range []struct{ method, target, body, location string }{
		{"POST", "/services", `{}`, "body"},
		{"POST", "/services", `{"name":""}`, "body.name"},
		{"POST", "/services", `{"name":"m3","tokenTtlSeconds":-1}`, "body.tokenTtlSeconds"},
		{"POST", "/services", `{"name":"m3","authMethods":["password"]}`, "body.authMethods[0]"},
		{"PATCH", "/services/m1", `{"binding":"none"}`, "body.binding"},
		{"PUT", "/rules/m1/m2", `{"when":{"chain":"x"}}`, "body.when.chain"},
		{"PUT", "/rules/m1/m2", `{"scopes":["` + strings.Repeat(`a","`, 64) + `a"]}`, "body.scopes"},
		{"POST", "/services/m1/credentials", `{"ttlSeconds":0}`, "body.ttlSeconds"},
		{"POST", "/services/m1/credentials", `{"kind":""}`, "body.kind"},
		{"POST", "/callmap/plan", `{"files":[]}`, "body.files"},
		{"POST", "/callmap/plan", `{"files":[{"name":"a","text":""},{"name":"b"}]}`, "body.files[1]"},
		{"POST", "/callmap/apply", `{"files":[{"text":""}]}`, "body.files[0]"},
		{"POST", "/callmap/apply", `{"reason":"x"}`, "body"},
	} {
		a := s.ask(c.method, c.target, c.body)
		a.wantProblem(c.method+" "+c.target+" "+c.body, http.StatusUnprocessableEntity)
		if !strings.Contains(a.Body.String(), `"location":"`+c.location+`"`) {
			t.Errorf("%s %s %s: got %s, want location %s", c.method, c.target, c.body, a.Body, c.location)
		}
	}
	var issued api.IssuedCredential
	s.must("POST", "/services/m1/credentials", `{"name":"x"}`).into(&issued)
	if issued.Credential.Kind != "bootstrap" || issued.Credential.ExpiresAt.Sub(issued.Credential.CreatedAt).Hours() != 90*24 {
		t.Errorf("what is absent is not the default: got %+v", issued.Credential)
	}
}

func TestBodyHasALimit(t *testing.T) {
	s := start(t)
	fill := func(size int) string {
		const frame = `{"name":"m1"}`
		return frame + strings.Repeat(" ", size-len(frame))
	}
	s.ask("POST", "/services", fill(64<<10+1)).wantProblem("a byte too much", http.StatusRequestEntityTooLarge)
	s.must("POST", "/services", fill(64<<10))
	r := s.request("POST", "/admin/v1/services", "{}")
	r.Body, r.ContentLength = io.NopCloser(&endless{}), -1
	s.do(r).wantProblem("a body without end", http.StatusRequestEntityTooLarge)
	r = s.request("POST", "/admin/v1/services", "{}")
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(`{"na`), broken{})), -1
	s.do(r).wantProblem("a body that breaks off", http.StatusBadRequest)
}

type endless struct{}

func (*endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestQueryIsStrict(t *testing.T) {
	s := start(t)
	for query, want := range map[string]int{
		"limit=1&limit=2":  http.StatusBadRequest,
		"limit=":           http.StatusBadRequest,
		"limit=1;after=2":  http.StatusBadRequest,
		"limit=%zz":        http.StatusBadRequest,
		"nonsense=1":       http.StatusUnprocessableEntity,
		"Limit=1":          http.StatusUnprocessableEntity,
		"pageToken=%00":    http.StatusBadRequest,
		"limit=1&caller=x": http.StatusUnprocessableEntity,
	} {
		s.ask("GET", "/services?"+query, "").wantProblem(query, want)
	}
	s.ask("GET", "/rules?caller=zz", "").wantProblem("an unknown caller", http.StatusNotFound)
	s.ask("GET", "/rules?target=%00", "").wantProblem("a strange target", http.StatusNotFound)
	s.ask("GET", "/changes?after=-1", "").wantProblem("a negative revision", http.StatusUnprocessableEntity)
	s.ask("POST", "/services?x=1", `{"name":"m1"}`).wantProblem("a query where there is none", http.StatusUnprocessableEntity)
}

func TestAcceptChangesNothing(t *testing.T) {
	s := start(t)
	for _, accept := range []string{"text/html", "application/xml", "json", "application/problem+json", "*/*;q=0", "\x00"} {
		if a := s.must("GET", "/services", "", "Accept", accept); a.Header().Get("Content-Type") != "application/json" {
			t.Errorf("Accept %q: got %q", accept, a.Header().Get("Content-Type"))
		}
		s.ask("GET", "/services/zz", "", "Accept", accept).wantProblem(accept, http.StatusNotFound)
	}
}

// routes of the API, as the document has them.
func (s *server) routes() (all [][2]string) {
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(s.Handler.(*handlers).openAPI, &doc); err != nil {
		s.Fatal(err)
	}
	for path, item := range doc.Paths {
		for method := range item {
			all = append(all, [2]string{strings.ToUpper(method), path})
		}
	}
	return all
}

var hostileTexts = []string{
	"", "m1", "\x00", "\xff", "../..", "%2e%2e%2f", strings.Repeat("a", 10<<10), "'; DROP TABLE services; --", "${jndi:ldap://x}", "<script>",
	"\u202e", "\ud7ff", "true", "-1", "99999999999999999999", "1e400", "NaN", "0x10", "null", "a,b", "*", `"`, `"1"`, "W/\"1\"", "svc_" + strings.Repeat("0", 32),
}

var hostileBodies = []string{
	``, `{}`, `[]`, `null`, `0`, `""`, `{`, `}`, `{"":""}`, `{"name":null,"scopes":null,"until":null,"cidr":null,"use":null,"disabled":null}`,
	`{"name":"a","description":"` + strings.Repeat("x", 60_000) + `"}`, `{"scopes":[null]}`, `{"scopes":[[]]}`, `{"scopes":["\u0000"]}`,
	`{"until":"0000-01-01T00:00:00Z"}`, `{"until":"9999-12-31T23:59:59.999999999Z"}`, `{"until":"10000-01-01T00:00:00Z"}`, `{"until":"2999-01-01T00:00:00+23:59"}`,
	`{"ttlSeconds":9223372036854775807}`, `{"ttlSeconds":-9223372036854775808}`, `{"ttlSeconds":1e18}`, `{"ttlSeconds":1E400}`, `{"ttlSeconds":0.1}`,
	`{"cidr":"::/0"}`, `{"cidr":"1.2.3.4/99"}`, `{"cidr":"::ffff:1.2.3.4/100"}`, `{"cidr":"fe80::1%lo/64"}`, `{"cidr":"` + strings.Repeat("1", 100) + `"}`,
	`{"use":"access","algorithm":"none"}`, `{"algorithm":"\u0000"}`, `{"now":"yes"}`, `{"tokenTtlSeconds":9223372036854775807}`, `{"disabled":"x"}`,
	strings.Repeat("[", 60_000), strings.Repeat(`{"a":`, 10_000), `{"name":"` + strings.Repeat(`\u0000`, 100) + `"}`, strings.Repeat("9", 60_000), "\xff\xfe{\x00}\x00",
	strings.Repeat(" ", 70_000), `{"name":"m1","name":"m1"}`,
}

// DOS-010.
func TestNoInputMakesTheServerFail(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	try := func(r *http.Request) {
		t.Helper()
		a := s.do(r)
		if a.Code >= 500 {
			t.Errorf("%s %.200s: got %d %s", r.Method, r.URL, a.Code, a.Body)
		} else if a.Code >= 400 {
			a.wantProblem(fmt.Sprintf("%s %.200s", r.Method, r.URL), a.Code)
		}
	}
	fill := func(path, with string) string {
		for _, p := range []string{"{name}", "{id}", "{caller}", "{target}"} {
			path = strings.ReplaceAll(path, p, url.PathEscape(with))
		}
		return path
	}
	for _, route := range s.routes() {
		method, path := route[0], route[1]
		if strings.HasSuffix(path, "/rotate") || strings.HasSuffix(path, "/reseal") {
			continue // what follows is not hostile to them but slow; their bodies have their own turn
		}
		for _, text := range hostileTexts {
			try(s.request(method, fill(path, text), ""))
			try(s.request(method, fill(path, text), `{"name":"m7"}`))
			q := url.QueryEscape(text)
			try(s.request(method, fill(path, "m1")+"?limit="+q+"&pageToken="+q, ""))
			try(s.request(method, fill(path, "m1")+"?caller="+q+"&target="+q+"&after="+q, ""))
			r := s.request(method, fill(path, "m2"), "")
			for _, h := range []string{"If-Match", "If-None-Match", "Accept", "Content-Type", "X-Request-Id", "Range", "Transfer-Encoding", "Expect"} {
				r.Header[h] = []string{text}
			}
			try(r)
		}
		for _, body := range hostileBodies {
			try(s.request(method, fill(path, "m1"), body, "Content-Type", "application/json"))
		}
	}
	for _, body := range hostileBodies[1:] {
		if body != `{}` {
			try(s.request("POST", "/admin/v1/keys/rotate", body))
		}
		try(s.request("POST", "/admin/v1/keys/reseal", body))
	}
	if log := s.stderr.String(); strings.Contains(log, "panic") {
		t.Errorf("got log %s", log)
	}
}

func FuzzRequest(f *testing.F) {
	s := start(f)
	s.services("m1", "m2")
	for _, text := range hostileTexts {
		f.Add("GET", "/services/"+url.PathEscape(text), "", "")
		f.Add("GET", "/rules?caller="+url.QueryEscape(text), "", text)
		f.Add("DELETE", "/credentials/"+url.PathEscape(text), "", text)
	}
	for _, body := range hostileBodies {
		if len(body) < 1000 {
			f.Add("POST", "/services", body, "")
			f.Add("PUT", "/rules/m1/m2", body, "*")
			f.Add("PATCH", "/services/m1", body, `"1"`)
			f.Add("POST", "/services/m2/credentials", body, "")
		}
	}
	f.Add("POST", "/tokens/revoke", "{}", "") // F88: a body where there is none to be
	f.Add("GET", "/credentials?expiresWithinSeconds=0&limit=&service=", "", "")
	f.Fuzz(func(t *testing.T, method, target, body, condition string) {
		if strings.HasPrefix(target, "/keys") || s.directory.Snapshot().Revision() > 2000 && method != "GET" {
			return // keys are slow to make, and the database shall not grow without end
		}
		u, err := url.ParseRequestURI(prefix + target)
		if err != nil {
			return
		}
		r := s.request("GET", "/", body, "If-Match", condition)
		r.Method, r.URL = method, u
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s %q: got %d %s", method, target, body, w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) && w.Body.Len() > 0 {
			t.Errorf("%s %s %q: got %q, want JSON", method, target, body, w.Body)
		}
	})
}
