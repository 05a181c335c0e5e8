package app

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/web"
)

// Types and flags of frames: RFC 9113, section 6.
const (
	h2Headers      = 1
	h2Reset        = 3
	h2Settings     = 4
	h2Ping         = 6
	h2Continuation = 9

	h2EndStream  = 0x1
	h2EndHeaders = 0x4
)

func h2Frame(kind, flags byte, stream uint32, payload []byte) []byte {
	f := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	f = binary.BigEndian.AppendUint32(append(f, flags), stream)
	return append(f, payload...)
}

// h2Get is a request for the key set, of the static table and literals (RFC 7541).
func h2Get() []byte {
	literal := func(index byte, value string) []byte { return append([]byte{index, byte(len(value))}, value...) }
	return bytes.Join([][]byte{{0x82, 0x87}, literal(0x04, "/.well-known/jwks.json"), literal(0x01, sdkHost)}, nil)
}

// h2Connect opens a connection and sends settings, each an id and a value.
func (w *sdkWorld) h2Connect(t *testing.T, settings ...uint32) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(w.url, "https://"), &tls.Config{RootCAs: w.roots, ServerName: sdkHost, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var payload []byte
	for i := 0; i+1 < len(settings); i += 2 {
		payload = binary.BigEndian.AppendUint16(payload, uint16(settings[i]))
		payload = binary.BigEndian.AppendUint32(payload, settings[i+1])
	}
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+string(h2Frame(h2Settings, 0, 0, payload))); err != nil {
		t.Fatal(err)
	}
	return conn
}

// DOS-003: while somebody floods a connection with frames, others are answered. Of the frames that make the
// server keep something for each, it takes so many and then closes the connection.
func TestHTTP2FloodHoldsNobodyUp(t *testing.T) {
	w := newSDKWorld(t, nil)
	honest := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots, ServerName: sdkHost}, ForceAttemptHTTP2: true}}
	defer honest.CloseIdleConnections()
	answered := func(t *testing.T) {
		t.Helper()
		a, err := honest.Get(w.url + "/.well-known/jwks.json")
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		if _, err := io.Copy(io.Discard, a.Body); err != nil || a.StatusCode != http.StatusOK || a.ProtoMajor != 2 {
			t.Errorf("an honest client got %s over HTTP/%d, %v", a.Status, a.ProtoMajor, err)
		}
	}
	fragment := bytes.Repeat([]byte{0x00, 1, 'x', 1, 'y'}, 3000) // header fields that are in no table
	stream := uint32(1)
	for name, c := range map[string]struct {
		first  []byte
		more   func() []byte
		read   bool // the sender reads what the server sends
		closed bool
	}{
		// CVE-2023-44487.
		"rapid reset": {nil, func() []byte {
			stream += 2
			return append(h2Frame(h2Headers, h2EndStream|h2EndHeaders, stream, h2Get()), h2Frame(h2Reset, 0, stream, []byte{0, 0, 0, 8})...)
		}, true, false},
		"settings": {nil, func() []byte { return h2Frame(h2Settings, 0, 0, nil) }, true, false},
		// GO-2024-2687.
		"continuation": {h2Frame(h2Headers, h2EndStream, 1, h2Get()), func() []byte { return h2Frame(h2Continuation, 0, 1, fragment) }, true, true},
		// CVE-2019-9512.
		"ping": {nil, func() []byte { return h2Frame(h2Ping, 0, 0, make([]byte, 8)) }, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			conn := w.h2Connect(t)
			if c.read {
				go io.Copy(io.Discard, conn)
			}
			_, err := conn.Write(c.first)
			// A million frames for those that must end it: the buffers of both ends take some too.
			for n := 0; err == nil && (n < 100 || c.closed && n < 10_000); n++ {
				var chunk []byte
				for range 100 {
					chunk = append(chunk, c.more()...)
				}
				_, err = conn.Write(chunk)
				if n%10 == 0 {
					answered(t)
				}
			}
			var timeout net.Error
			if c.closed && (err == nil || errors.As(err, &timeout) && timeout.Timeout()) {
				t.Errorf("the server takes ever more: %v", err)
			}
			answered(t)
		})
	}
	t.Run("a table of 1 MiB", func(t *testing.T) { // the server may use less
		conn := w.h2Connect(t, 1, 1<<20)
		if _, err := conn.Write(h2Frame(h2Headers, h2EndStream|h2EndHeaders, 1, h2Get())); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		for done := false; !done; {
			var head [9]byte
			if _, err := io.ReadFull(in, head[:]); err != nil {
				t.Fatal(err)
			}
			if _, err := in.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
				t.Fatal(err)
			}
			done = head[4]&h2EndStream != 0 && binary.BigEndian.Uint32(head[5:]) == 1
		}
		answered(t)
	})
}

// DOS-003. Of the requests that one connection begins, so many are under way, and the others are refused at once.
func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	w := newSDKWorld(t, nil)
	a, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots, ServerName: sdkHost}}}).Head(w.url + "/oauth2/denylist")
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Body.Close()
	literal := func(index byte, value string) []byte { return append([]byte{index, byte(len(value))}, value...) }
	wait := bytes.Join([][]byte{{0x82, 0x87}, literal(0x04, "/oauth2/denylist?wait=25"), literal(0x01, sdkHost), {0x0f, 41 - 15}, literal(0, a.Header.Get("ETag"))[1:]}, nil)
	conn := w.h2Connect(t)
	in := bufio.NewReader(conn)
	const begun = 3 * web.MaxStreams
	for n := range begun {
		if _, err := conn.Write(h2Frame(h2Headers, h2EndStream|h2EndHeaders, uint32(2*n+1), wait)); err != nil {
			t.Fatal(err)
		}
	}
	for refused := 0; refused < begun-web.MaxStreams; {
		var head [9]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			t.Fatalf("after %d refusals: %v", refused, err)
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(in, payload); err != nil {
			t.Fatal(err)
		}
		switch {
		case head[3] == h2Reset && binary.BigEndian.Uint32(payload) == 7: // REFUSED_STREAM
			refused++
		case head[3] == h2Headers || head[3] == h2Reset || head[3] == 7:
			t.Fatalf("after %d refusals: got a frame of type %d, %x", refused, head[3], payload)
		}
	}
	eventually(t, "those that are not refused wait", func() bool { return w.metric("watchword_http_requests_waiting") == web.MaxStreams })
}
