//go:build unix

// Package pgtest starts a real PostgreSQL for tests and ends it with them. It does not know
// what the tests keep in it.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/watchword-dev/watchword/internal/needs"
)

// Start makes an empty database on the server all tests of this binary share, which is
// started when the first test asks and stopped when the binary ends. The database is dropped
// with the test. It returns the URL, which holds a password.
//
// Without PostgreSQL the test is skipped, or fails where the environment says CI=true or
// WWTEST=all, as `make test` does.
func Start(tb testing.TB) (databaseURL string) {
	tb.Helper()
	bin := binaries(tb)
	shared.once.Do(func() { shared.server, shared.err = start(bin, Options{}) })
	if shared.err != nil {
		tb.Fatalf("start PostgreSQL: %v", shared.err)
	}
	return shared.server.Database(tb)
}

var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Options of a Server. The zero value is fast and loses everything in a power cut.
type Options struct {
	// Fsync makes commits as safe as in production.
	Fsync bool
	// Certificate and Key, PEM, let clients choose TLS.
	Certificate, Key []byte
}

// Server is a PostgreSQL of a test's own, to be stopped and started as the test likes.
type Server struct {
	bin, dir string
	options  []string
	password string
	address  string
	guard    *os.File // the guard stops the server when this is closed
}

// New starts a server, which ends with the test.
func New(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := start(binaries(tb), o)
	if err != nil {
		tb.Fatalf("start PostgreSQL: %v", err)
	}
	tb.Cleanup(func() { s.guard.Close() })
	return s
}

// Address is host:port.
func (s *Server) Address() string { return s.address }

// Socket is the folder with the server's Unix socket.
func (s *Server) Socket() string { return s.dir }

// Stop stops the server: "smart", "fast" or "immediate", as pg_ctl understands it.
func (s *Server) Stop(tb testing.TB, mode string) {
	tb.Helper()
	if err := s.run("pg_ctl", "stop", "-w", "-m", mode, "-D", s.data()); err != nil {
		tb.Fatal(err)
	}
}

// Start starts it again, at the same address.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	if err := s.up(); err != nil {
		tb.Fatal(err)
	}
}

var databases atomic.Int64

// Database makes an empty database, dropped with the test, and returns its URL.
func (s *Server) Database(tb testing.TB) (databaseURL string) {
	tb.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	if err := s.sql("CREATE DATABASE " + name); err != nil {
		tb.Fatalf("create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.sql("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			tb.Logf("drop database: %v", err) // a test may have stopped the server for good
		}
	})
	return s.url(name)
}

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("watchword", s.password),
		Host: s.address, Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (s *Server) sql(text string) error {
	ctx := context.Background()
	config, err := pgx.ParseConfig(s.url("postgres"))
	if err != nil {
		return err
	}
	config.RuntimeParams["default_transaction_read_only"] = "off" // whatever a test set
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, text)
	return err
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func start(bin string, o Options) (_ *Server, err error) {
	s := &Server{bin: bin, password: rand.Text()}
	if s.dir, err = os.MkdirTemp("", "watchword-pg"); err != nil {
		return nil, err
	}
	if c := credential(); c != nil {
		if err := os.Chown(s.dir, int(c.Uid), int(c.Gid)); err != nil {
			return nil, err
		}
	}
	if err := s.startGuard(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.guard.Close()
		}
	}()
	passwordFile := filepath.Join(s.dir, "password")
	// World-readable in a folder that only the server's user can enter.
	if err := os.WriteFile(passwordFile, []byte(s.password), 0o644); err != nil {
		return nil, err
	}
	if err := s.run("initdb", "--no-sync", "-U", "watchword", "-A", "scram-sha-256", "--pwfile", passwordFile,
		"-E", "UTF8", "--locale", "C", "-D", s.data()); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if o.Certificate != nil {
		if err := s.enableTLS(o); err != nil {
			return nil, err
		}
	}
	s.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.options = append(s.options,
		"-c listen_addresses=127.0.0.1", "-c port="+strconv.Itoa(port), "-c unix_socket_directories="+s.dir,
		"-c max_connections=200", "-c shared_buffers=32MB", "-c max_wal_size=256MB",
	)
	if !o.Fsync {
		s.options = append(s.options, "-c fsync=off", "-c full_page_writes=off")
	}
	return s, s.up()
}

// enableTLS writes the files as PostgreSQL wants them: its own, and the key for nobody else.
func (s *Server) enableTLS(o Options) error {
	for name, text := range map[string][]byte{"server.crt": o.Certificate, "server.key": o.Key} {
		file := filepath.Join(s.data(), name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
		if c := credential(); c != nil {
			if err := os.Chown(file, int(c.Uid), int(c.Gid)); err != nil {
				return err
			}
		}
	}
	s.options = append(s.options, "-c ssl=on")
	return nil
}

func (s *Server) up() error {
	return s.run("pg_ctl", "start", "-w", "-D", s.data(), "-l", filepath.Join(s.dir, "log"), "-o", strings.Join(s.options, " "))
}

// startGuard starts a shell that waits until this process ends, in whatever way, or closes the
// guard, and then stops the server and removes its folder.
func (s *Server) startGuard() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := s.command("/bin/sh", "-c", `read -r _; "$1" stop -m immediate -D "$2/data"; rm -rf "$2"`, "guard", filepath.Join(s.bin, "pg_ctl"), s.dir)
	cmd.Stdin = r
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for the tests; the guard follows
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return fmt.Errorf("start guard: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	s.guard = w
	return nil
}

// run runs one of PostgreSQL's programs to its end.
func (s *Server) run(name string, args ...string) error {
	out, err := s.command(filepath.Join(s.bin, name), args...).CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return fmt.Errorf("%s: %w\n%s%s", name, err, out, log)
	}
	return nil
}

func (s *Server) command(path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential()}
	return cmd
}

// credential is whom to run as: PostgreSQL refuses root.
func credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return nil // PostgreSQL will say what is wrong
}

func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// binaries finds PostgreSQL's programs.
func binaries(tb testing.TB) string {
	tb.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		// Where the link leads: its neighbours may not be on PATH.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	// Debian keeps them off PATH, by major version.
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) }))
	}
	needs.Missing(tb, "PostgreSQL (15 or later) is not installed, so this test cannot run: apt-get install postgresql")
	return ""
}

func major(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return n
}
