package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/client/clienttest"
)

// start runs the program on a free port and returns its URL and a way to end it.
func start(t *testing.T, args []string, env map[string]string) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append(args, "--listen", "127.0.0.1:0"), func(k string) string { return env[k] }, in)
		_ = in.CloseWithError(io.EOF)
		done <- err
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatalf("it ended at once: %v", <-done)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	_, url, _ = strings.Cut(strings.TrimSpace(line), "listens on ")
	stop = func() error {
		cancel()
		return <-done
	}
	t.Cleanup(cancel)
	return url, stop
}

func credentialFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m1.jwt")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestTwoServicesTalk(t *testing.T) {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "billing")
	billing, stopBilling := start(t, []string{"billing", "--credential-file", credentialFile(t, auth.Credential("billing"))},
		map[string]string{"WATCHWORD_URL": auth.URL})
	m1, stopM1 := start(t, []string{"--server", auth.URL, "m1", "--peer", "billing=" + billing},
		map[string]string{"WATCHWORD_CREDENTIAL_FILE": credentialFile(t, auth.Credential("m1"))})
	if status, body := post(t, m1+"/query", `{"target":"billing"}`); status != http.StatusOK || body != "Hello to m1 from billing!" {
		t.Errorf("got %d %q, want 200", status, body)
	}
	http.DefaultClient.CloseIdleConnections()
	for _, stop := range []func() error{stopM1, stopBilling} {
		if err := stop(); err != nil {
			t.Errorf("stopped: %v", err)
		}
	}
}

// The platform's token takes the place of a credential, and a credential never that of the platform's token.
func TestServiceNeedsNoSecretWhereItsPlatformVouchesForIt(t *testing.T) {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "m1")
	file := credentialFile(t, auth.PlatformToken("m1", auth.URL))
	secret := credentialFile(t, auth.Credential("m1"))
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
	}{
		"variables": {[]string{"m1"}, map[string]string{"WATCHWORD_URL": auth.URL, "WATCHWORD_TOKEN_FILE": file, "WATCHWORD_CREDENTIAL_FILE": "/no/such/file"}},
		"flags":     {[]string{"m1", "--server", auth.URL, "--token-file", file}, map[string]string{"WATCHWORD_CREDENTIAL_FILE": "/no/such/file"}},
	} {
		m1, stop := start(t, append(c.args, "--peer", "m1=http://127.0.0.1:1"), c.env)
		// The call itself fails, since nothing listens there; the token was issued.
		before := auth.Requests()
		if status, body := post(t, m1+"/query", `{"target":"m1"}`); status != http.StatusBadGateway || auth.Requests() != before+1 {
			t.Errorf("%s: got %d %q after %d token requests, want 502 after one", name, status, body, auth.Requests()-before)
		}
		http.DefaultClient.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	env := map[string]string{"WATCHWORD_URL": auth.URL, "WATCHWORD_TOKEN_FILE": file + ".absent", "WATCHWORD_CREDENTIAL_FILE": secret}
	err := run(t.Context(), []string{"m1", "--listen", "127.0.0.1:0"}, func(k string) string { return env[k] }, io.Discard)
	if err == nil || !strings.Contains(err.Error(), file+".absent") {
		t.Errorf("a token file that is not there: got %v, want an error that names it", err)
	}
}

func TestItStartsWhileTheServerIsAway(t *testing.T) {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "m1")
	auth.SetAway(true)
	m1, stop := start(t, []string{"m1", "--server", auth.URL, "--credential-file", credentialFile(t, auth.Credential("m1"))}, nil)
	if status, body := post(t, m1+"/query", `{"target":"m2"}`); status != http.StatusBadGateway {
		t.Errorf("got %d %q, want 502", status, body)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreExplained(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	good := credentialFile(t, "a.b.c")
	const token = "eyJhbGci.hunter2.c2ln"
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "microservice m1"},
		{[]string{"m1", "m2"}, `unexpected argument "m2"`},
		{[]string{"m1", "--nonsense"}, "not defined"},
		{[]string{"billing"}, "--listen 127.0.0.1:PORT"},
		{[]string{"m1", "--listen", taken.Addr().String(), "--credential-file", good}, taken.Addr().String() + " is taken; choose another with --listen"},
		{[]string{"m1", "--listen", "0.0.0.0:8001"}, "loopback"},
		{[]string{"m1", "--listen", ":8001"}, "loopback"},
		{[]string{"m1", "--listen", "example.com:8001"}, "loopback"},
		{[]string{"m1", "--listen", "8001"}, "127.0.0.1:8001"},
		{[]string{"m1", "--peer", "m2"}, "NAME=URL"},
		{[]string{"m1", "--peer", "m2=localhost", "--credential-file", good}, "peer m2"},
		{[]string{"m1", "--server", "auth", "--credential-file", good}, "http://localhost:8000"},
		{[]string{"m1", "--credential-file", good + ".absent"}, "Create one with: watchword credential create"},
		{[]string{"m1", "--token-file", good + ".absent"}, "have the platform write its token there"},
		{[]string{"m1", "--token-file", token}, "is itself a token, which is not shown here"},
		{[]string{"m1", "--credential-file", token}, "is itself a credential, which is not shown here"},
		{[]string{"m1", "--token-file", good, "--credential-file", good}, "set one of them"},
		{[]string{"../m1", "--listen", "127.0.0.1:0"}, "not a service's name"},
	} {
		err := run(t.Context(), c.args, func(string) string { return "" }, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want %q in it", c.args, err, c.want)
		}
	}
}

func TestDefaultsFollowTheName(t *testing.T) {
	for name, port := range map[string]string{"m1": "8001", "m2": "8002", "m3": "8003"} {
		o, err := parse([]string{name}, func(string) string { return "" }, io.Discard)
		if want := filepath.Join("watchword-data", "credentials", name+".jwt"); err != nil || o.listen != "127.0.0.1:"+port || o.credentialFile != want {
			t.Errorf("%s: got %s, %s, %v; want port %s, %s", name, o.listen, o.credentialFile, err, port, want)
		}
	}
}
