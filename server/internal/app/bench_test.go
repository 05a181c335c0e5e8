package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// BenchmarkIssue is for profiling; the ratios that docs/performance.md states are measured by
// internal/bench, with the load in a process of its own.
func BenchmarkIssue(b *testing.B) {
	s := start(b, testConfig(b))
	m1, _, _ := s.demo()
	request := fmt.Appendf(nil, "POST /accesstoken HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: 15\r\n\r\n"+`{"target":"m2"}`, m1)
	var wg sync.WaitGroup
	work := make(chan struct{}, 1024)
	for range 32 {
		wg.Go(func() {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for range work {
				c.Write(request)
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != 200 {
					b.Error(err, resp)
					return
				}
				io.Copy(io.Discard, resp.Body)
			}
		})
	}
	b.ResetTimer()
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
}
