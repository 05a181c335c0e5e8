//go:build unix

package interop

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
	"github.com/watchword-dev/watchword/server/internal/store/storetest"
)

// replica starts a server at an address that it has from its start, on the database of others. The first one is nil.
func replica(t *testing.T, first *server, settings ...string) *server {
	t.Helper()
	settings = append([]string{
		"WATCHWORD_LISTEN=" + freeAddress(t), "WATCHWORD_ISSUER=https://auth.example.com", "WATCHWORD_PROXY_NETWORKS=127.0.0.1/32",
		"WATCHWORD_SHUTDOWN_DRAIN=8s",
	}, settings...)
	if first != nil {
		settings = append(settings, "WATCHWORD_SEALING_KEY_FILE="+filepath.Join(first.data(), "sealing.key"))
	}
	return startServer(t, settings...)
}

func hostPort(url string) string { return strings.TrimPrefix(url, "http://") }

func port(url string) string { return url[strings.LastIndex(url, ":")+1:] }

// kubelet sends the request of an HTTP probe of a kubelet, which knows the pod by its address, and returns what it looks at.
func (s *server) kubelet(path string) (status int, body string, err error) {
	c, err := net.Dial("tcp", hostPort(s.operators))
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, "", err
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 10.244.3.7:%s\r\nUser-Agent: kube-probe/1.34\r\nAccept: */*\r\nConnection: close\r\n\r\n", path, port(s.operators)); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && !resp.Close {
		err = fmt.Errorf("the connection stays open: %v", resp.Header)
	}
	return resp.StatusCode, string(text), err
}

// answers wants a status of a path, and something in the body, of a kubelet's probe, at some time within a minute.
func (s *server) answers(t *testing.T, path string, status int, part string) {
	t.Helper()
	until(t, path, func() (string, bool) {
		got, body, err := s.kubelet(path)
		return fmt.Sprint(got, " ", body, err), err == nil && got == status && strings.Contains(body, part)
	})
}

// alive wants /livez to answer 200 now.
func (s *server) alive(t *testing.T, when string) {
	t.Helper()
	if status, body, err := s.kubelet("/livez"); status != http.StatusOK || err != nil {
		t.Errorf("/livez, %s: %d %s %v", when, status, body, err)
	}
}

// quiet wants no line of the log for a request.
func (s *server) quiet(t *testing.T) {
	t.Helper()
	if log := s.log.String(); strings.Contains(log, `"msg":"request"`) || strings.Contains(log, "/readyz") || strings.Contains(log, "/livez") {
		t.Errorf("probes were logged:\n%s", log)
	}
}

// tell sends a signal.
func (s *server) tell(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.pid, signal); err != nil {
		t.Fatal(err)
	}
}

// The probes of a kubelet: a database that is away, and the end of the server, change readiness, never liveness.
func TestKubeletLearnsWhatAServerCanDo(t *testing.T) {
	t.Parallel() // it waits, most of the time
	pg := pgtest.New(t, pgtest.Options{})
	s := replica(t, nil, "WATCHWORD_DATABASE="+pg.Database(t), "WATCHWORD_MAX_STALENESS=15s")
	s.answers(t, "/readyz", 200, `{"status":"ready"}`)
	s.alive(t, "at the start")
	pg.Stop(t, "immediate")
	s.answers(t, "/readyz", 200, `"status":"degraded"`)
	s.alive(t, "without the database")
	s.answers(t, "/readyz", 503, `"directory"`)
	s.alive(t, "when it issues no tokens any more")
	pg.Start(t)
	s.answers(t, "/readyz", 200, `{"status":"ready"}`)

	s.tell(t, syscall.SIGHUP)
	s.answers(t, "/readyz", 200, `{"status":"ready"}`)
	s.tell(t, syscall.SIGTERM)
	s.answers(t, "/readyz", 503, `"server":"stopping"`)
	s.alive(t, "while it stops")
	if status, body := get(t, s.public+"/.well-known/jwks.json", ""); status != http.StatusOK {
		t.Errorf("while it stops: %d %s", status, body)
	}
	<-s.ended
	s.quiet(t)
}

// traffic is requests for tokens, one after another.
type traffic struct {
	stop  chan struct{}
	done  sync.WaitGroup
	asked int
	wrong []string
}

// ask sends one request for a token through a proxy.
func ask(c *http.Client, proxy, credential string) (status int, body string, err error) {
	r, err := http.NewRequest(http.MethodPost, "http://"+proxy+"/accesstoken", strings.NewReader(`{"target":"m2"}`))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+credential)
	resp, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func begin(proxy, credential string) *traffic {
	f := &traffic{stop: make(chan struct{})}
	f.done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-f.stop:
				return
			case <-tick.C:
			}
			f.asked++
			if status, body, err := ask(http.DefaultClient, proxy, credential); status != http.StatusOK || err != nil {
				f.wrong = append(f.wrong, fmt.Sprint(status, " ", body, err))
			}
		}
	})
	return f
}

// end wants all of it to have been answered with tokens.
func (f *traffic) end(t *testing.T, what string) {
	t.Helper()
	close(f.stop)
	f.done.Wait()
	if f.asked < 10 || len(f.wrong) > 0 {
		t.Errorf("%s: of %d requests %d failed: %.10v", what, f.asked, len(f.wrong), f.wrong)
	}
}

// caller makes m1, m2 and a rule, and returns a credential of m1.
func (s *server) caller(t *testing.T, flags ...string) string {
	t.Helper()
	s.run(t, "service", "create", "m1")
	s.run(t, "service", "create", "m2")
	s.run(t, "allow", "m1", "m2")
	file := filepath.Join(t.TempDir(), "m1.jwt")
	s.run(t, append([]string{"credential", "create", "m1", "--out", file}, flags...)...)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// haproxy's health checks: no request fails while a replica ends, and a database that is away takes out no replica that
// still issues tokens.
func TestHAProxyFollowsTheHealthOfReplicas(t *testing.T) {
	t.Parallel() // it waits, most of the time
	program := debian(t, "haproxy", "haproxy")
	pg := pgtest.New(t, pgtest.Options{})
	database, staleness := "WATCHWORD_DATABASE="+pg.Database(t), "WATCHWORD_MAX_STALENESS=15s"
	a := replica(t, nil, database, staleness)
	b := replica(t, a, database, staleness)
	c := replica(t, nil, "WATCHWORD_PROXY_PROTOCOL=true")
	listen, states, listenProxied := freeAddress(t), freeAddress(t), freeAddress(t)
	daemon(t, []string{
		"LISTEN=" + listen, "STATES=" + states, "LISTEN_PROXIED=" + listenProxied,
		"A=" + hostPort(a.public), "A_OPERATORS=" + port(a.operators), "B=" + hostPort(b.public), "B_OPERATORS=" + port(b.operators),
		"C=" + hostPort(c.public), "C_OPERATORS=" + port(c.operators),
	}, states, program, "-db", "-f", filepath.Join("fleet", "haproxy.cfg"))

	// state is what haproxy thinks of a server, and what its last check saw.
	state := func(server string) string {
		_, text := get(t, "http://"+states+"/;csv", "")
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
		if err != nil || len(rows) == 0 {
			t.Fatalf("%v: %s", err, text)
		}
		column := map[string]int{}
		for i, name := range rows[0] {
			column[name] = i
		}
		for _, row := range rows {
			if row[column["pxname"]]+"/"+row[column["svname"]] == server {
				return strings.Fields(row[column["status"]])[0] + " " + row[column["check_status"]] + " " + row[column["check_code"]]
			}
		}
		t.Fatalf("haproxy has no server %s", server)
		return ""
	}
	becomes := func(server, want string) {
		t.Helper()
		until(t, server, func() (string, bool) { got := state(server); return got + ", want " + want, got == want })
	}
	const up, down, gone = "UP L7OK 200", "DOWN L7STS 503", "DOWN L4CON "
	for _, server := range []string{"http10/a", "http10/b", "http11/a", "http11/b", "head/a", "options/a", "proxied/c"} {
		becomes(server, up)
	}
	becomes("connect/a", "UP L4OK ")

	credential := a.caller(t)
	until(t, "the other replica", func() (string, bool) { // sees the changes
		status, body, err := ask(http.DefaultClient, hostPort(b.public), credential)
		return fmt.Sprint(status, body, err), status == http.StatusOK
	})
	// The PROXY protocol names the client, by which credentials are limited.
	if status, body, err := ask(http.DefaultClient, listenProxied, c.caller(t, "--cidr", "127.0.0.1/32")); status != http.StatusOK || err != nil {
		t.Errorf("with the PROXY protocol: %d %s %v", status, body, err)
	}

	// A clock that is wrong is told, and takes nobody out.
	if err := storetest.Exec(t.Context(), c.data(), "", `UPDATE counters SET value = $1 WHERE name = 'heartbeat'`, time.Now().Add(time.Hour).UnixMicro()); err != nil {
		t.Fatal(err)
	}
	c.answers(t, "/readyz", 200, `"clock"`)
	becomes("proxied/c", up)

	running := begin(listen, credential)
	a.tell(t, syscall.SIGHUP)
	a.tell(t, syscall.SIGTERM)
	for _, server := range []string{"http10/a", "http11/a", "head/a", "options/a"} {
		until(t, server, func() (string, bool) { got := state(server); return got, strings.HasPrefix(got, "DOWN ") })
	}
	<-a.ended
	becomes("http10/a", gone)
	running.end(t, "while a replica ends")
	if log := a.log.String(); !strings.Contains(log, `"msg":"stopped"`) {
		t.Errorf("it did not end as it should:\n%s", log)
	}

	running = begin(listen, credential)
	pg.Stop(t, "immediate")
	b.answers(t, "/readyz", 200, `"status":"degraded"`)
	running.end(t, "while the database is away")
	becomes("http10/b", down)
	pg.Start(t)
	becomes("http10/b", up)
	until(t, "traffic", func() (string, bool) {
		status, body, err := ask(http.DefaultClient, listen, credential)
		return fmt.Sprint(status, body, err), status == http.StatusOK
	})
	a.quiet(t)
	b.quiet(t)
	c.quiet(t)
}

// nginx keeps connections to replicas open and names the client in X-Forwarded-For. No request fails while a replica ends.
func TestNginxInFrontOfReplicas(t *testing.T) {
	t.Parallel() // it waits, most of the time
	program := debian(t, "nginx", "nginx-light")
	database := "WATCHWORD_DATABASE=" + pgtest.Start(t)
	a := replica(t, nil, database)
	b := replica(t, a, database)
	listen, run := freeAddress(t), t.TempDir()
	text, err := os.ReadFile(filepath.Join("fleet", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"LISTEN": listen, "RUN": run, "A": hostPort(a.public), "B": hostPort(b.public), "B_OPERATORS": hostPort(b.operators),
	}
	config := os.Expand(strings.ReplaceAll(string(text), "$DOLLAR", "\x00"), func(name string) string { return values[name] })
	file := filepath.Join(run, "nginx.conf")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config, "\x00", "$")), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, nil, listen, program, "-e", "stderr", "-p", run, "-c", file)

	if status, body := get(t, "http://"+listen+"/readyz", ""); status != http.StatusOK || !strings.Contains(body, `"status":"ready"`) {
		t.Errorf("/readyz: %d %s", status, body)
	}
	// The issuer is never taken from a request.
	var metadata struct{ Issuer string }
	if _, body := get(t, "http://"+listen+"/.well-known/oauth-authorization-server", ""); json.Unmarshal([]byte(body), &metadata) != nil || metadata.Issuer != "https://auth.example.com" {
		t.Errorf("the metadata: %s", body)
	}

	credential := a.caller(t, "--cidr", "127.0.0.2/32")
	client := func(address, forged string) *http.Client {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		transport := &http.Transport{DialContext: d.DialContext}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: forwarded{transport, forged}}
	}
	until(t, "the other replica", func() (string, bool) { // sees the changes: nginx asks both in turn
		for range 4 {
			if status, body, err := ask(client("127.0.0.2", ""), listen, credential); status != http.StatusOK {
				return fmt.Sprint(status, body, err), false
			}
		}
		return "", true
	})
	for _, forged := range []string{"", "127.0.0.2", "127.0.0.2, 127.0.0.1"} {
		if status, body, err := ask(client("127.0.0.3", forged), listen, credential); status != http.StatusUnauthorized || err != nil {
			t.Errorf("from another address, with X-Forwarded-For %q: %d %s %v", forged, status, body, err)
		}
	}

	free := filepath.Join(t.TempDir(), "free.jwt")
	a.run(t, "credential", "create", "m1", "--name", "free", "--out", free)
	anywhere, err := os.ReadFile(free)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the new credential", func() (string, bool) {
		status, body, err := ask(http.DefaultClient, hostPort(b.public), strings.TrimSpace(string(anywhere)))
		return fmt.Sprint(status, body, err), status == http.StatusOK
	})
	running := begin(listen, strings.TrimSpace(string(anywhere)))
	a.tell(t, syscall.SIGTERM)
	<-a.ended
	running.end(t, "while a replica ends")
	a.quiet(t)
	b.quiet(t)
}

// forwarded adds X-Forwarded-For, as whoever pretends to be somebody else does.
type forwarded struct {
	http.RoundTripper
	addresses string
}

func (f forwarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.addresses != "" {
		r.Header.Set("X-Forwarded-For", f.addresses)
	}
	return f.RoundTripper.RoundTrip(r)
}
