package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTokenFileIsReadAnewEachTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	source := TokenFile(path)
	for _, text := range []string{"one", "two\n", "six\r\n"} { // of the same size, and replaced within one tick
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if got, err := source.Token(t.Context(), "https://as.example"); err != nil || got != text[:3] {
			t.Errorf("got %q, %v; want %q", got, err, text[:3])
		}
	}
	longest := strings.Repeat("a", maxCredential)
	must(t, os.WriteFile(path, []byte(longest+"\n"), 0o600))
	if got, err := source.Token(t.Context(), ""); err != nil || got != longest {
		t.Errorf("16 KiB: got %d bytes, %v", len(got), err)
	}
}

func TestTokenFileThatHasNoTokenIsAnErrorThatSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	for name, text := range map[string]string{
		"empty": "", "blank": "\n", "spaces": "  ", "two lines": "hunter2\nhunter2\n", "blank line": "hunter2\n\n",
		"a byte too long": strings.Repeat("h", maxCredential+1), "much too long": strings.Repeat("hunter2", maxCredential),
		"binary": "hunter2\x00", "JSON": `{"token":"hunter2"}`,
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		token, err := TokenFile(path).Token(t.Context(), "")
		if token != "" || err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") ||
			!strings.Contains(err.Error(), "it must contain the platform's token") {
			t.Errorf("%s: got %q, %v; want an error with the path and without the content", name, token, err)
		}
	}
	for path, want := range map[string]string{
		path + ".absent": "have the platform write its token there",
		dir:              "name a file that contains the platform's token",
	} {
		token, err := TokenFile(path).Token(t.Context(), "")
		if token != "" || err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, %v; want an error with %s and %q", token, err, path, want)
		}
	}
}

// Whoever sets a variable to the token instead of its file must not find it in a log.
func TestTokenGivenAsTheNameOfAFileIsNotRepeated(t *testing.T) {
	for _, token := range []string{"eyJhbGci.hunter2.c2ln", "hunter2.b.c", "hunter2\n", strings.Repeat("hunter2", 1000)} {
		source := TokenFile(token)
		got, err := source.Token(t.Context(), "")
		if got != "" || err == nil || !strings.Contains(err.Error(), "is itself a token") {
			t.Errorf("got %q, %v", got, err)
		}
		_, asSecret := File(token).Credential(t.Context())
		if asSecret == nil {
			t.Error("a credential was read from a file that is not there")
		}
		if text := fmt.Sprint(err, asSecret, source, ForAudience("x", source)); strings.Contains(text, "hunter2") {
			t.Errorf("the token is repeated: %s", text)
		}
	}
}

// runner stands in for the service of GitHub that answers the runner's jobs, which cannot run here. It answers as GitHub
// documents, and records what it was asked.
type runner struct {
	status int
	body   string // %d is the number of the request
	header http.Header
	asked  []*http.Request

	endless bool // spaces follow until the client closes the connection
}

func (g *runner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.asked = append(g.asked, r)
	for name, values := range g.header {
		w.Header()[name] = values
	}
	w.WriteHeader(g.status)
	_, err := io.WriteString(w, strings.ReplaceAll(g.body, "%d", fmt.Sprint(len(g.asked))))
	for g.endless && err == nil {
		_, err = io.WriteString(w, strings.Repeat(" ", 4<<10))
	}
}

const githubSecret = "the-runner-s-secret"

// inJob sets the variables of a job with the permission, and returns the service that it asks.
func inJob(t *testing.T) *runner {
	t.Helper()
	g := &runner{status: http.StatusOK, body: `{"count":1,"value":"a.b.%d"}`, header: http.Header{}}
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	t.Setenv(githubRequestURL, s.URL+"/idtoken/1/2?api-version=2.0")
	t.Setenv(githubRequestToken, githubSecret)
	return g
}

func TestGitHubIsAskedForEachTokenWithTheAudience(t *testing.T) {
	g := inJob(t)
	source := GitHubActions()
	for i, audience := range []string{"https://as.example/x?y&z", "https://as.example"} {
		if got, err := source.Token(t.Context(), audience); err != nil || got != fmt.Sprintf("a.b.%d", i+1) {
			t.Errorf("got %q, %v; want token %d", got, err, i+1)
		}
		r := g.asked[i]
		if q := r.URL.Query(); r.Method != http.MethodGet || r.URL.Path != "/idtoken/1/2" || len(q) != 2 || q.Get("api-version") != "2.0" || !slices.Equal(q["audience"], []string{audience}) ||
			r.Header.Get("Authorization") != "Bearer "+githubSecret {
			t.Errorf("asked %s %s, %v", r.Method, r.URL, r.Header)
		}
	}
	if got, err := ForAudience("mine", source).Token(t.Context(), "https://as.example"); err != nil || got != "a.b.3" || g.asked[2].URL.Query().Get("audience") != "mine" {
		t.Errorf("another audience: got %q, %v, asked %s", got, err, g.asked[2].URL)
	}
}

func TestGitHubWithoutATokenIsAnErrorThatSaysWhatToDo(t *testing.T) {
	const permission = "set `permissions: id-token: write`"
	for name, c := range map[string]struct {
		edit  func(*runner)
		want  string
		asked int
	}{
		"no URL":      {func(*runner) { t.Setenv(githubRequestURL, "") }, permission, 0},
		"no secret":   {func(*runner) { t.Setenv(githubRequestToken, "") }, permission, 0},
		"in clear":    {func(*runner) { t.Setenv(githubRequestURL, "http://runner.example/"+githubSecret) }, githubRequestURL + " is not an https URL", 0},
		"no host":     {func(*runner) { t.Setenv(githubRequestURL, githubSecret) }, githubRequestURL + " is not an https URL", 0},
		"not allowed": {func(g *runner) { g.status = http.StatusForbidden }, permission, 1},
		"away":        {func(g *runner) { g.status = http.StatusBadGateway }, "GitHub answered 502", 1},
		"no JSON":     {func(g *runner) { g.body = "hunter2" }, "not one JSON object", 1},
		"twice":       {func(g *runner) { g.body = `{"value":"a.b.c","value":"hunter2"}` }, "not one JSON object", 1},
		"too long":    {func(g *runner) { g.body = `{"value":"` + strings.Repeat("a", maxAnswer) + `"}` }, "at most 65536 bytes", 1},
		"endless":     {func(g *runner) { g.endless = true }, "at most 65536 bytes", 1},
		"long token":  {func(g *runner) { g.body = `{"value":"` + strings.Repeat("a", maxCredential+1) + `"}` }, "longer than 16384 bytes", 1},
		"no token":    {func(g *runner) { g.body = `{"message":"hunter2"}` }, "it is empty", 1},
		"two headers": {func(g *runner) { g.body = `{"value":"hunter2\r\nEvil: 1"}` }, "it is not one token", 1},
		"redirect": {func(g *runner) {
			g.status, g.header = http.StatusFound, http.Header{"Location": {"https://evil.example/x"}}
		}, `redirects the request to host "evil.example", which is not followed`, 1},
	} {
		g := inJob(t)
		c.edit(g)
		token, err := GitHubActions().Token(t.Context(), "https://as.example")
		if token != "" || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v; want %q in it", name, token, err, c.want)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, githubSecret) || strings.Contains(text, "hunter2") {
			t.Errorf("%s: the error has a secret: %s", name, text)
		}
		if len(g.asked) != c.asked {
			t.Errorf("%s: asked %d times, want %d", name, len(g.asked), c.asked)
		}
	}
	inJob(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := GitHubActions().Token(ctx, "x"); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), githubSecret) || strings.Contains(err.Error(), "idtoken") {
		t.Errorf("a context that has ended: got %v", err)
	}
}
