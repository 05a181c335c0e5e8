package audit

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHandler shows what the log costs where it is used: 32 connections ask for a
// signature each, again and again, of a handler that waits for a record and one that does
// not. The signing overlaps with the write. Elapsed time says little on a machine that does
// other work too; processor time does.
func BenchmarkHandler(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b, err)
	for _, audited := range []bool{false, true} {
		b.Run(fmt.Sprintf("audit=%v", audited), func(b *testing.B) {
			var l *Log
			if audited {
				l = start(b, b.TempDir(), Options{})
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer(w, r, key, l)
			}))
			defer server.Close()
			b.ResetTimer()
			before := processorTime()
			ask(b, server.Listener.Addr().String(), 32)
			b.ReportMetric(float64(processorTime()-before)/float64(b.N)/1000, "cpu-us/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			if audited {
				s := l.Stats()
				b.ReportMetric(float64(s.Events)/float64(s.Batches), "events/sync")
			}
		})
	}
}

func answer(w http.ResponseWriter, r *http.Request, key *ecdsa.PrivateKey, l *Log) {
	var in struct{ Target string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var p *Pending
	if l != nil {
		e := sample
		e.At, e.Target = time.Now(), in.Target
		p = l.Begin(e)
	}
	hash := sha256.Sum256(fmt.Appendf(nil, `{"iss":"auth-server","sub":"m1","aud":%q}`, in.Target))
	signature, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err == nil && l != nil {
		err = p.Wait(r.Context())
	}
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"accessToken":%q,"expiresIn":900}`, base64.RawURLEncoding.EncodeToString(signature))
}

// ask sends b.N requests over so many connections, the next one on each after the answer.
func ask(b *testing.B, address string, connections int) {
	request := []byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{\"target\":\"m2\"}")
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			answers := bufio.NewReader(c)
			for range b.N/connections + 1 {
				if _, err := c.Write(request); err != nil {
					b.Error(err)
					return
				}
				got, err := http.ReadResponse(answers, nil)
				if err != nil || got.StatusCode != http.StatusOK {
					b.Errorf("got %v, %v", got, err)
					return
				}
				io.Copy(io.Discard, got.Body)
			}
		})
	}
	all.Wait()
}

func processorTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
