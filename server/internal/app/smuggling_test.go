package app

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

var statusLine = regexp.MustCompile(`(?m)^HTTP/1\.[01] (\d+)`)

// F41: net/http removes Content-Length where there is Transfer-Encoding before a handler runs, so the server cannot close
// such a connection (RFC 9112, section 6.1). It reads the body by its chunks, to its end: no part of the body is taken for
// the next request. Other requests whose end is in doubt are refused, and their connection is closed.
func TestNoPartOfABodyIsTakenForTheNextRequest(t *testing.T) {
	s := start(t, testConfig(t))
	const hidden = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	length := fmt.Sprint("Content-Length: ", len(chunk)-len(hidden)-7)
	for _, r := range []struct{ headers, body, want string }{
		{"Transfer-Encoding: chunked\r\n" + length, chunk, "401"},
		{length + "\r\nTransfer-Encoding: chunked", chunk, "401"},
		{"Transfer-Encoding: chunked\r\nContent-Length: 4", chunk + hidden, "401 404"}, // a request of its own, behind the body
		{"Content-Length: 4\r\nContent-Length: 5", "1234" + hidden, "400"},
		{"Transfer-Encoding: gzip\r\nContent-Length: 4", "1234" + hidden, "501"},
		{"Transfer-Encoding: chunked, identity\r\nContent-Length: 4", "1234" + hidden, "501"},
		{"Transfer-Encoding : chunked\r\nContent-Length: 4", "1234" + hidden, "400"},
		{"Transfer-Encoding: chunked\r\nContent-Length: x", chunk, "400"},
		{"Content-Length: +4", "1234" + hidden, "400"},
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(time.Minute)))
		_, err = io.WriteString(c, "POST /accesstoken HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+r.headers+"\r\n\r\n"+r.body)
		must(t, err)
		must(t, c.(*net.TCPConn).CloseWrite())
		text, err := io.ReadAll(c)
		c.Close()
		var got []string
		for _, m := range statusLine.FindAllStringSubmatch(string(text), -1) {
			got = append(got, m[1])
		}
		if err != nil || strings.Join(got, " ") != r.want {
			t.Errorf("%q: got %v, %v; want %s\n%s", r.headers, got, err, r.want, text)
		}
	}
}
