package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/api"
)

// The API itself is tested against the real server, in server/internal/admin and with the command line. Here the
// server is one that misbehaves.

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(server.URL, "operator-token")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheTokenNeverTravelsInTheClear(t *testing.T) {
	for base, want := range map[string]string{
		"http://10.0.0.1:8010":             "would travel in the clear",
		"http://auth.example.com":          "would travel in the clear",
		"http://127.0.0.1.example.com":     "would travel in the clear",
		"http://localhost.example.com":     "would travel in the clear",
		"https://auth.example.com":         "",
		"http://127.0.0.1:8010":            "",
		"http://[::1]:8010/":               "",
		"http://localhost:8010":            "",
		"http://LOCALHOST:8010":            "", // F34
		"http://u@127.0.0.1":               "is not the URL of a server",
		"http://127.0.0.1:8010/?a=b":       "is not the URL of a server",
		"127.0.0.1:8010":                   "is not the URL of a server",
		"ftp://127.0.0.1":                  "is not the URL of a server",
		"http://":                          "is not the URL of a server",
		"http://[::ffff:127.0.0.1]:8010":   "",
		"http://[::ffff:10.0.0.1]:8010":    "would travel in the clear",
		"http://0x7f000001.example.com:80": "would travel in the clear",
	} {
		_, err := New(base, "t")
		if got := fmt.Sprint(err); err == nil && want != "" || err != nil && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("%s: got %v, want %q", base, err, want)
		}
	}
}

func TestARedirectDoesNotGetTheToken(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed, with Authorization %q", r.Header.Get("Authorization"))
	}))
	defer other.Close()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	_, err := c.Info(t.Context())
	if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusTemporaryRedirect {
		t.Errorf("got %v, want the redirect as an error", err)
	}
}

func TestNamesAreEscaped(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.URL.EscapedPath(), "/admin/v1/services/..%2Fkeys%3Fa"; got != want {
			t.Errorf("got path %s, want %s", got, want)
		}
		fmt.Fprint(w, `{}`)
	})
	if _, err := c.Service(t.Context(), "../keys?a"); err != nil {
		t.Fatal(err)
	}
}

func TestErrorsSayWhatTheServerSaid(t *testing.T) {
	for _, c := range []struct {
		kind, body string
		status     int
		want       string
	}{
		{"application/problem+json", `{"status":422,"title":"Unprocessable Entity","detail":"d","errors":[{"message":"must be short","location":"body.name"},{"message":"name is long","location":"body.name"},{"message":"m","location":"body"}]}`, 422, "name: must be short; name is long; m"},
		{"application/problem+json; charset=utf-8", `{"title":"Not Found","detail":"no service"}`, 404, "no service"},
		{"application/json", `{"title":"Not Found"}`, 404, "Not Found"},
		{"text/html", `<html>`, 502, "the server answered 502 Bad Gateway"},
		{"application/json", `[`, 500, "the server answered 500 Internal Server Error"},
		{"application/json", `{"status":"up","title":"x"}`, 500, "the server answered 500 Internal Server Error"},
	} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		})
		_, err := client.Info(t.Context())
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != c.status || e.Error() != c.want {
			t.Errorf("%s: got %v, want %q", c.body, err, c.want)
		}
	}
}

func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	for _, body := range []string{"", "<html>", `{"version":1}`, "[]"} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		if _, err := c.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "is "+c.URL()+" the operator's listener?") {
			t.Errorf("%q: got %v", body, err)
		}
		if _, err := Collect(c.Services(t.Context())); err == nil {
			t.Errorf("%q: a list was read from it", body)
		}
	}
}

func TestAServerThatIsAwayIsTold(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := New(server.URL, "secret-token")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Info(t.Context())
	if _, ok := errors.AsType[*UnreachableError](err); !ok || !strings.HasPrefix(err.Error(), "no answer from "+c.URL()+": ") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestListsFollowTheirPages(t *testing.T) {
	list := map[string]string{
		"":  `{"services":[{"name":"a","added":"by a newer server"}],"nextPageToken":"x"}`,
		"x": `{"services":[],"nextPageToken":"y"}`,
		"y": `{"services":[{"name":"b"},{"name":"c"}]}`,
	}
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Query().Get("pageToken")
		asked = append(asked, token)
		w.Write([]byte(list[token]))
	})
	services := c.Services(t.Context())
	for range 2 { // an iterator begins again
		all, err := Collect(services)
		if err != nil || len(all) != 3 || all[0].Name != "a" || all[1].Name != "b" || all[2].Name != "c" {
			t.Fatalf("got %v, %v", all, err)
		}
	}
	asked = nil
	for range services {
		break
	}
	if len(asked) != 1 {
		t.Errorf("whoever wants one service asked for pages %q", asked)
	}
	endless := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"services":[],"nextPageToken":"x"}`) })
	if all, err := Collect(endless.Services(t.Context())); err == nil {
		t.Errorf("a list that never ends: got %v", all)
	}
}

// The rules of a server on which somebody else changes the rule whenever it was read, twice.
func TestChangingARuleKeepsWhatOthersChanged(t *testing.T) {
	version, puts := int64(1), 0
	rule := api.Rule{Caller: "m1", Target: "m2", RuleTerms: api.RuleTerms{Scopes: []string{"read"}}}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			if puts++; r.Header.Get("If-Match") != fmt.Sprintf("%q", fmt.Sprint(version)) {
				w.WriteHeader(http.StatusPreconditionFailed)
				return
			}
			json.NewDecoder(r.Body).Decode(&rule.RuleTerms)
			version++
		}
		rule.Version = version
		json.NewEncoder(w).Encode(rule)
		if r.Method == http.MethodGet && puts < 2 {
			rule.Scopes, version = append(rule.Scopes, fmt.Sprint("s", version)), version+1
		}
	})
	before, after, err := c.ChangeRule(t.Context(), "m1", "m2", func(terms *api.RuleTerms) { terms.Exchange = "delegate" })
	if err != nil || puts != 3 || before == nil || before.Exchange != "" || strings.Join(before.Scopes, " ") != "read s1 s2" ||
		after.Exchange != "delegate" || strings.Join(after.Scopes, " ") != "read s1 s2" {
		t.Errorf("got %+v, %+v, %v after %d puts", before, after, err, puts)
	}
}
