//go:build unix

package pgtest

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/needs"
)

// Pooler is a PgBouncer in front of a server.
type Pooler struct {
	address string
	log     string
}

// Bouncer starts a real PgBouncer, in transaction mode and with further settings for its file, in front of the server that
// Start uses. It ends with the test.
func Bouncer(tb testing.TB, settings ...string) *Pooler {
	tb.Helper()
	Start(tb)
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		bin = "/usr/sbin/pgbouncer" // which is not on everybody's path
	}
	if _, err := os.Stat(bin); err != nil {
		needs.Missing(tb, "PgBouncer is not installed, so this test cannot run: apt-get install pgbouncer")
	}
	s := shared.server
	dir, err := os.MkdirTemp(s.dir, "pgbouncer")
	if err != nil {
		tb.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	host, serverPort, _ := net.SplitHostPort(s.address)
	p := &Pooler{net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), filepath.Join(dir, "log")}
	config := fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
		"pool_mode = transaction\nauth_type = scram-sha-256\nauth_file = %s/users\nlogfile = %s\n%s\n",
		host, serverPort, port, dir, p.log, strings.Join(settings, "\n"))
	for name, text := range map[string]string{"ini": config, "users": fmt.Sprintf("%q %q\n", "watchword", s.password)} {
		// World-readable in a folder that only the server's user can enter.
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	if c := credential(); c != nil {
		if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			tb.Fatal(err)
		}
	}
	// The shell ends it when this process ends, in whatever way.
	cmd := s.command("/bin/sh", "-c", `"$1" -q "$2/ini" & read -r _; kill $!; wait`, "guard", bin, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(), Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	p.await(tb)
	return p
}

func (p *Pooler) await(tb testing.TB) {
	tb.Helper()
	for until := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(until) {
			tb.Fatalf("PgBouncer does not start: %v\n%s", err, p.Log(tb))
		}
		<-time.After(5 * time.Millisecond)
	}
}

// URL returns the database URL of Start with the pooler in place of the server.
func (p *Pooler) URL(tb testing.TB, databaseURL string) string {
	tb.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	u.Host = p.address
	return u.String()
}

// Log returns what the pooler logged.
func (p *Pooler) Log(tb testing.TB) string {
	tb.Helper()
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		tb.Error(err)
	}
	return string(text)
}
