package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/watchword-dev/watchword/client"
)

// badNetwork forwards connections to address at 1 Mbit/s in all, and cuts every third off within its first 250
// bytes, in either direction. It returns its own address and how many it cut.
func badNetwork(t *testing.T, address string) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	const chunk = 512
	wire, cut := rate.NewLimiter(1_000_000/8, 2*chunk), new(atomic.Int64)
	forward := func(to, from net.Conn, left int) {
		defer to.Close()
		defer from.Close()
		b := make([]byte, chunk)
		for {
			n, err := from.Read(b)
			if left -= n; left < 0 {
				cut.Add(1)
				return
			}
			if wire.WaitN(ctx, n) != nil {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
			if err != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for n := 0; ; n++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				in.Close()
				continue
			}
			left := [2]int{1 << 30, 1 << 30}
			if n%3 == 0 {
				left[n%2] = n * 53 % 250
			}
			context.AfterFunc(ctx, func() { in.Close(); out.Close() })
			wg.Go(func() { forward(out, in, left[0]) })
			wg.Go(func() { forward(in, out, left[1]) })
		}
	})
	return l.Addr().String(), cut
}

// FLT-035: over a slow network that breaks connections, 50 clients all get their tokens within the time they
// have, and a request that was sent once has its effect once at the most.
func TestSlowAndLossyNetworkRepeatsNothing(t *testing.T) {
	const clients = 50
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	for i := range clients {
		s.service(fmt.Sprintf("n%d", i))
	}
	public, cut := badNetwork(t, strings.TrimPrefix(s.url, "http://"))
	operators, cutToo := badNetwork(t, strings.TrimPrefix(strings.TrimSuffix(s.admin, "/admin/v1"), "http://"))
	var wg sync.WaitGroup
	answered := make([]bool, clients)
	for i := range clients {
		wg.Go(func() {
			c, err := client.New(client.Config{Server: "http://" + public, Credential: client.Static(m1), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for again := rate.NewLimiter(10, 1); ; {
				_, err := c.TokenSource("m2").Token(ctx)
				if err == nil {
					break
				}
				if again.Wait(ctx) != nil {
					t.Errorf("client %d: no token: %v", i, err)
					return
				}
			}
			r, err := http.NewRequestWithContext(ctx, "POST", fmt.Sprintf("http://%s/admin/v1/services/n%d/credentials", operators, i), strings.NewReader("{}"))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer "+s.token)
			r.Header.Set("Content-Type", "application/json")
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			a, err := transport.RoundTrip(r)
			if err != nil {
				return // perhaps it was made, perhaps not
			}
			defer a.Body.Close()
			_, err = io.Copy(io.Discard, a.Body)
			answered[i] = err == nil && a.StatusCode == http.StatusCreated
		})
	}
	wg.Wait()
	if cut.Load() == 0 || cutToo.Load() == 0 {
		t.Fatal("no connection was cut: the test proves nothing")
	}
	for i := range clients {
		a := s.do(s.request("GET", fmt.Sprintf("%s/services/n%d/credentials", s.admin, i), "", "Authorization", "Bearer "+s.token))
		var list struct{ Credentials []any }
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Fatal(err, a.body)
		}
		if n := len(list.Credentials); n > 1 || answered[i] && n != 1 {
			t.Errorf("n%d has %d credentials; answered: %v", i, n, answered[i])
		}
	}
	t.Logf("%d connections were cut", cut.Load()+cutToo.Load())
}
