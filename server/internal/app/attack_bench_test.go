package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/store/storetest"
)

// The test binary is also the attacker, and the followers, so that they take no processor time of the server's process.
const (
	attackEnv    = "WWTEST_ATTACK"
	followersEnv = "WWTEST_FOLLOWERS"
)

// attackUntilKilled makes the attack of that name, at the lowest priority: on another machine it would take nothing from
// the server's processors.
func attackUntilKilled(name string) {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19)
	var v victim
	if err := json.NewDecoder(os.Stdin).Decode(&v); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	attacks[name].run(context.Background(), v)
}

// other starts the test binary as something else, which reads what as JSON.
func other(b *testing.B, env, value string, what any) (out *bufio.Reader, end func()) {
	b.Helper()
	input, err := json.Marshal(what)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stdin, cmd.Stderr = append(os.Environ(), env+"="+value), bytes.NewReader(input), os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	return bufio.NewReader(pipe), func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// measure sends the requests of honest callers for so long, two at a time, and returns how long each took, sorted: those
// for tokens, and those for keys and revocations.
func (s *attacked) measure(b *testing.B, long time.Duration) (tokens, documents []time.Duration, refused int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	end := time.Now().Add(long)
	for range 2 {
		all.Go(func() {
			for time.Now().Before(end) {
				for i, make := range s.asks() {
					began := time.Now()
					err := s.ask(make)
					took := time.Since(began)
					mu.Lock()
					switch {
					case err != nil:
						b.Log(err)
						refused++
					case i == 0:
						tokens = append(tokens, took)
					default:
						documents = append(documents, took)
					}
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	slices.Sort(tokens)
	slices.Sort(documents)
	return tokens, documents, refused
}

func p99(sorted []time.Duration) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*99/100].Seconds() * 1000
}

// BenchmarkAttacks is what docs/limits.md states: how long honest requests take before and during each attack.
func BenchmarkAttacks(b *testing.B) {
	s := underAttack(b)
	for _, name := range slices.Sorted(maps.Keys(attacks)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.begin(b)
				const long = 5 * time.Second
				tokens, documents, _ := s.measure(b, long)
				_, end := other(b, attackEnv, name, s.victim)
				eventually(b, "the attack is at its height", func() bool { return attacks[name].full(s) })
				tokensDuring, documentsDuring, refused := s.measure(b, long)
				end()
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(p99(tokens), "token-before-ms")
				b.ReportMetric(p99(tokensDuring), "token-during-ms")
				b.ReportMetric(p99(tokensDuring)/p99(tokens), "token-ratio")
				b.ReportMetric(p99(documents), "document-before-ms")
				b.ReportMetric(p99(documentsDuring), "document-during-ms")
				b.ReportMetric(p99(documentsDuring)/p99(documents), "document-ratio")
				b.ReportMetric(float64(refused), "refused")
			}
		})
	}
}

// crowd is so many followers, and the state of the list that they begin with.
type crowd struct {
	Address string
	N       int
	State   string
}

// followUntilKilled is a crowd, each with a connection of its own. It prints a line when all of them wait, and then
// one for each state that all have reached, with the bytes that came since the last.
func followUntilKilled() {
	var c crowd
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var bytesIn atomic.Int64
	asked, reached := make(chan struct{}, c.N), make(chan string, c.N)
	dial := make(chan struct{}, 64) // so many at once
	for n := range c.N {
		go func() {
			dial <- struct{}{}
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("127.2.0.%d", n/1000+1))}}
			conn, err := d.Dial("tcp", c.Address)
			<-dial
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			in, state := bufio.NewReaderSize(conn, 4096), c.State
			for first := true; ; first = false {
				fmt.Fprintf(conn, "GET /oauth2/denylist?wait=25&since=%s HTTP/1.1\r\nHost: x\r\n\r\n", state)
				if first {
					asked <- struct{}{}
				}
				next, size, err := readState(in)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				bytesIn.Add(size)
				if next != state {
					state = next
					reached <- state
				}
			}
		}()
	}
	for range c.N {
		<-asked
	}
	fmt.Println("following")
	for {
		var last string
		for range c.N {
			last = <-reached
		}
		fmt.Println(last, bytesIn.Swap(0))
	}
}

// readState reads an update, or a list, and returns the state it leads to.
func readState(in *bufio.Reader) (state string, size int64, err error) {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", 0, err
	}
	parts := strings.Split(string(body), ".")
	if resp.StatusCode != http.StatusOK || len(parts) != 3 {
		return "", 0, fmt.Errorf("%s: %.200s", resp.Status, body)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", 0, err
	}
	var claims struct{ State string }
	err = json.Unmarshal(payload, &claims)
	return claims.State, int64(len(body)), err
}

// BenchmarkFollowers is what docs/limits.md states: what 10,000 followers of a list with 100,000 entries cost, and how
// long it takes until all know of one more revocation.
func BenchmarkFollowers(b *testing.B) {
	const followers, revoked, times = 10_000, 100_000, 20
	cfg := testConfig(b)
	db, err := store.Open(b.Context(), store.Options{DataDir: cfg.Data})
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(db.Close(), storetest.Revoke(b.Context(), cfg.Data, revoked, time.Now())); err != nil {
		b.Fatal(err)
	}
	s := startWith(b, cfg, func(s *Server) {
		// This process may have fewer files open than a server needs for them by the rules of mostConnections.
		s.listeners[0].connections.most, s.listeners[0].connections.mostFrom = followers+100, followers+100
	})
	m1, _, _ := s.demo()
	list := s.do(s.request("GET", s.url+"/oauth2/denylist", ""))
	before := s.metric("process_resident_memory_bytes")
	for b.Loop() {
		out, end := other(b, followersEnv, "yes", crowd{strings.TrimPrefix(s.url, "http://"), followers, strings.Trim(list.header.Get("ETag"), `"`)})
		defer end()
		line := func() string {
			text, err := out.ReadString('\n')
			if err != nil {
				b.Fatal(err)
			}
			return strings.TrimSpace(text)
		}
		line()
		eventually(b, "all wait", func() bool { return s.metric("watchword_http_requests_waiting") == followers })
		memory := s.metric("process_resident_memory_bytes") - before
		var took []time.Duration
		var perFollower int64
		for range times {
			token := s.accessToken(m1, "m2")
			began := time.Now()
			s.operate("POST", "/revocations", `{"token":"`+token+`"}`)
			var state string
			if _, err := fmt.Sscan(line(), &state, &perFollower); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
			eventually(b, "all wait again", func() bool { return s.metric("watchword_http_requests_waiting") == followers })
		}
		slices.Sort(took)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(len(list.body)), "whole-list-bytes")
		b.ReportMetric(float64(memory)/followers, "memory-bytes/follower")
		b.ReportMetric(float64(perFollower)/followers, "bytes/revocation/follower")
		b.ReportMetric(took[len(took)/2].Seconds()*1000, "all-know-p50-ms")
		b.ReportMetric(took[len(took)-1].Seconds()*1000, "all-know-max-ms")
		b.ReportMetric(float64(s.metric("process_resident_memory_bytes"))/(1<<20), "server-MiB")
	}
}
