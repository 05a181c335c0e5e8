package audit

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHandler compares a handler that parses, signs and answers with the same handler
// that also waits for an audit record, under 32 closed-loop connections.
func BenchmarkHandler(b *testing.B) {
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	signers := map[string]func([]byte) []byte{
		"EdDSA": func(p []byte) []byte { return ed25519.Sign(edKey, p) },
		"ES256": func(p []byte) []byte {
			h := sha256.Sum256(p)
			sig, _ := ecdsa.SignASN1(rand.Reader, ecKey, h[:])
			return sig
		},
	}
	for _, alg := range []string{"ES256", "EdDSA"} {
		sign := signers[alg]
		for _, audited := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/audit=%v", alg, audited), func(b *testing.B) {
				var l *Log
				if audited {
					var err error
					if l, err = Open(b.TempDir(), Options{}); err != nil {
						b.Fatal(err)
					}
					go l.Run(context.Background())
					defer l.Close()
				}
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					var in struct{ Target string }
					_ = json.Unmarshal(body, &in)
					var p *Pending
					if audited {
						e := sample
						e.At = time.Now()
						p = l.Begin(e)
					}
					payload := fmt.Appendf(nil, `{"iss":"auth-server","sub":"m1","aud":%q,"iat":%d,"exp":%d,"jti":"0123456789abcdef0123456789abcdef"}`, in.Target, 1, 2)
					text := base64.RawURLEncoding.AppendEncode([]byte("eyJhbGciOiJFUzI1NiJ9."), payload)
					text = append(text, '.')
					text = base64.RawURLEncoding.AppendEncode(text, sign(text))
					if audited {
						if err := p.Wait(r.Context()); err != nil {
							w.WriteHeader(503)
							return
						}
					}
					w.Header().Set("Content-Type", "application/json")
					fmt.Fprintf(w, `{"accessToken":"%s","expiresIn":900}`, text)
				})}
				go srv.Serve(ln)
				defer srv.Close()
				req := []byte("POST /accesstoken HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer abc\r\nContent-Length: 15\r\n\r\n{\"target\":\"m2\"}")
				const conns = 32
				var all sync.WaitGroup
				b.ResetTimer()
				cpu := cpuTime()
				for range conns {
					all.Go(func() {
						c, err := net.Dial("tcp", ln.Addr().String())
						if err != nil {
							b.Error(err)
							return
						}
						defer c.Close()
						br := bufio.NewReader(c)
						for range b.N/conns + 1 {
							c.Write(req)
							resp, err := http.ReadResponse(br, nil)
							if err != nil || resp.StatusCode != 200 {
								b.Error(err, resp)
								return
							}
							io.Copy(io.Discard, resp.Body)
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N)/1000, "cpu-us/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
				if audited {
					s := l.Stats()
					b.ReportMetric(float64(s.Events)/float64(s.Batches), "events/sync")
				}
			})
		}
	}
}

func cpuTime() int64 {
	var ru syscall.Rusage
	_ = syscall.Getrusage(0, &ru)
	return ru.Utime.Nano() + ru.Stime.Nano()
}
