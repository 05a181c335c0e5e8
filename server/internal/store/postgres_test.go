package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// administer runs statements outside the store.
func administer(t *testing.T, databaseURL string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestEachChangeIsAnnounced(t *testing.T) {
	o := Options{DatabaseURL: pgtest.Start(t)}
	a, b := open(t, o), open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	next, stop := iter.Pull2(b.Notifications(ctx))
	defer stop()
	if rev, err, _ := next(); rev != 0 || err != nil {
		t.Fatalf("listening begins with %d, %v, want 0", rev, err)
	}
	insert(t, a, "m1")
	if _, err := a.InsertService(t.Context(), newService("m1"), change("x")); !errors.Is(err, directory.ErrExists) {
		t.Fatal(err)
	}
	insert(t, b, "m2")
	for want := int64(1); want <= 2; want++ {
		if rev, err, _ := next(); rev != want || err != nil {
			t.Errorf("got notice of %d, %v, want %d", rev, err, want)
		}
	}
	// What others say on the channel is a notice at most.
	for _, payload := range []string{"", "-5", "99999999999999999999", "x"} {
		administer(t, o.DatabaseURL, fmt.Sprintf("SELECT pg_notify('%s', '%s')", channel, payload))
		if rev, err, ok := next(); rev != 0 && payload != "99999999999999999999" || err != nil || !ok {
			t.Errorf("payload %q: got %d, %v, %v", payload, rev, err, ok)
		}
	}
	cancel()
	if rev, err, ok := next(); ok {
		t.Errorf("after the end: got %d, %v", rev, err)
	}
}

func TestSQLiteAnnouncesNothing(t *testing.T) {
	db := open(t, Options{DataDir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for rev, err := range db.Notifications(ctx) {
		t.Errorf("got %d, %v", rev, err)
	}
}

// FLT-009: a restart of the server is not seen by whoever changes or reads after it, and
// listening says that it ended.
func TestServerRestartHeals(t *testing.T) {
	server := pgtest.New(t, pgtest.Options{})
	db := open(t, Options{DatabaseURL: server.Database(t)})
	for i, mode := range []string{"fast", "immediate"} {
		next, stop := iter.Pull2(db.Notifications(t.Context()))
		defer stop()
		if _, err, _ := next(); err != nil {
			t.Fatal(err)
		}
		fillPool(t, db)
		server.Stop(t, mode)
		if _, err := db.Heartbeat(t.Context()); err == nil {
			t.Errorf("%s: a stopped server answers", mode)
		}
		if _, err, ok := next(); err == nil || !ok {
			t.Errorf("%s: listening went on, %v", mode, err)
		}
		server.Start(t)
		insert(t, db, fmt.Sprint("m", i))
		if _, err := db.Heartbeat(t.Context()); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	if got := revision(t, db); got != 2 {
		t.Errorf("got revision %d, want 2", got)
	}
}

// fillPool makes the pool hold several connections.
func fillPool(t *testing.T, db *DB) {
	t.Helper()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := db.Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// FLT-010: after a failover that kept the connections, those to a server that only reads are
// given up, all of them at the first sign, and nobody sees an error.
func TestConnectionsThatOnlyReadAreGivenUp(t *testing.T) {
	server := pgtest.New(t, pgtest.Options{})
	databaseURL := server.Database(t)
	db := open(t, Options{DatabaseURL: databaseURL})
	fillPool(t, db)
	conn, err := db.writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The setting of the database counts for new connections, that of the system for old ones.
	administer(t, databaseURL, "ALTER DATABASE "+db.config.Database+" SET default_transaction_read_only = off",
		"ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	for setting := ""; setting != "on"; {
		if err := conn.QueryRowContext(t.Context(), "SHOW default_transaction_read_only").Scan(&setting); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	insert(t, db, "m1")
	if _, err := db.Heartbeat(t.Context()); err != nil {
		t.Error(err)
	}

	// Now there is no server that takes changes.
	administer(t, databaseURL, "ALTER DATABASE "+db.config.Database+" SET default_transaction_read_only = on")
	db.generation.Add(1) // as after any loss
	if _, err := db.Heartbeat(t.Context()); err == nil {
		t.Error("a server that only reads counts as ready")
	}
	if _, err := Open(t.Context(), Options{DatabaseURL: databaseURL}); err == nil {
		t.Error("opened a server that only reads")
	}
}

// relay passes connections on to target, except while it is frozen.
func relay(t *testing.T, target string) (address string, frozen sync.Locker) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var gate sync.RWMutex
	pass := func(dst, src net.Conn) {
		defer dst.Close()
		buf := make([]byte, 4096)
		for {
			n, err := src.Read(buf)
			if err != nil {
				return
			}
			gate.RLock()
			_, err = dst.Write(buf[:n])
			gate.RUnlock()
			if err != nil {
				return
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
	return l.Addr().String(), &gate
}

// FLT-011: a server that does not answer costs no more than the timeout, and what was waiting
// for it neither blocks nor spoils what comes after.
func TestServerThatHangsIsBounded(t *testing.T) {
	server := pgtest.New(t, pgtest.Options{})
	address, frozen := relay(t, server.Address())
	db := open(t, Options{DatabaseURL: strings.Replace(server.Database(t), server.Address(), address, 1), Timeout: 2 * time.Second})
	s := insert(t, db, "m1")[0]
	fillPool(t, db)
	frozen.Lock()
	var wg sync.WaitGroup
	for i := range 2 * poolSize {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = db.ReadService(t.Context(), s.UID)
			} else {
				_, err = db.InsertService(t.Context(), newService(fmt.Sprint("lost", i)), change("x"))
			}
			if err == nil {
				t.Error("an answer came through the frozen relay")
			}
		})
	}
	wg.Wait() // would not end without the bound
	frozen.Unlock()
	db.o.Timeout = time.Minute
	insert(t, db, "m2")
	if _, err := db.Heartbeat(t.Context()); err != nil {
		t.Error(err)
	}
}

// FLT-013: many at once wait for their turn rather than use up the server's connections.
func TestConnectionsAreBounded(t *testing.T) {
	db := open(t, Options{DatabaseURL: pgtest.Start(t)})
	if got := db.writer.Stats().MaxOpenConnections; got == 0 || got > 20 {
		t.Errorf("got at most %d connections, want 20", got)
	}
	var wg sync.WaitGroup
	for i := range 3 * poolSize {
		wg.Go(func() { insert(t, db, fmt.Sprint("m", i)) })
	}
	wg.Wait()
	if got := revision(t, db); got != 3*poolSize {
		t.Errorf("got revision %d", got)
	}
}

// FLT-014: a newer replica that adds a column does not disturb this one.
func TestSchemaChangeUnderLoadIsNotSeen(t *testing.T) {
	o := Options{DatabaseURL: pgtest.Start(t)}
	db := open(t, o)
	s := insert(t, db, "m1")[0]
	fillPool(t, db)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				_, err1 := db.ReadService(t.Context(), s.UID)
				_, err2 := db.InsertService(t.Context(), newService(fmt.Sprint("m", w, "-", i)), change("x"))
				if err := errors.Join(err1, err2); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 10 {
		administer(t, o.DatabaseURL, fmt.Sprintf("ALTER TABLE services ADD COLUMN extra%d TEXT", i), fmt.Sprintf("ALTER TABLE counters ADD COLUMN extra%d TEXT", i))
	}
	close(stop)
	wg.Wait()
}

// One of the replicas that start together makes the schema, while the others wait for it.
func TestReplicasMayStartTogether(t *testing.T) {
	o := Options{DatabaseURL: pgtest.Start(t)}
	conn, err := pgx.Connect(t.Context(), o.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		t.Fatal(err)
	}
	const replicas = 6
	opened := make(chan error, replicas)
	for i := range replicas {
		go func() {
			db, err := Open(t.Context(), o)
			if err == nil {
				_, err = db.InsertService(t.Context(), newService(fmt.Sprint("m", i)), change("x"))
				err = errors.Join(err, db.Close())
			}
			opened <- err
		}()
	}
	for waiting := 0; waiting < replicas && len(opened) == 0; {
		if err := conn.QueryRow(t.Context(), "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if len(opened) > 0 {
		t.Error("a replica did not wait for the one that changes the schema")
	}
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_unlock_all()"); err != nil {
		t.Fatal(err)
	}
	for range replicas {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
	if got := revision(t, open(t, o)); got != replicas {
		t.Errorf("got revision %d, want %d", got, replicas)
	}
}

func TestOldServerIsRefused(t *testing.T) {
	for number, ok := range map[int]bool{90603: false, 140012: false, 149999: false, 150000: true, 150018: true, 180001: true} {
		if err := checkServer(number); (err == nil) != ok {
			t.Errorf("%d: got %v", number, err)
		}
	}
}

func TestDatabaseOfAnotherProgramIsRefused(t *testing.T) {
	o := Options{DatabaseURL: pgtest.Start(t)}
	administer(t, o.DatabaseURL, "CREATE TABLE services (x TEXT)")
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "of its own") {
		t.Errorf("got %v", err)
	}
	administer(t, o.DatabaseURL, "SELECT x FROM services") // as it was
}

func TestNoErrorShowsThePassword(t *testing.T) {
	good, err := url.Parse(pgtest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2"
	for _, databaseURL := range []string{
		"postgres://watchword:" + secret + "@" + good.Host + "/test?sslmode=disable", // the wrong one
		"postgres://watchword:" + secret + "@127.0.0.1:1/test",                       // nobody listens
		"postgres://watchword:" + secret + "@no-such-host.invalid/test",
		"postgres://watchword:" + secret + "@[::1/test",
		"postgres://watchword:" + secret + "@host:port/test",
		"postgres://watchword:%zz" + secret + "@host/test",
		"postgres://watchword:" + secret + "@host/test?sslmode=wrong",
		"postgres://watchword:" + secret + "@host/test?sslrootcert=/no/such/file",
		"postgres://watchword:pass word" + secret + "@host/test",
		"postgres://watchword:a@" + secret + "@host:1/test",
		"postgres://watchword:a/" + secret + "@host:1/test",
		"postgres://watchword:1/" + secret + "@127.0.0.1:1/test",
		"postgres://watchword:1?" + secret + "@127.0.0.1:1/test",
		"postgres://watchword:1#" + secret + "@127.0.0.1:1/test",
		"postgres://h1,watchword:a@" + secret + "@127.0.0.1:1/test",
		"host=127.0.0.1 port=1 password=" + secret,
		"host=127.0.0.1 port=1 password='" + secret,
		"host=127.0.0.1 port=x password=" + secret,
		"password=" + secret + " nonsense",
		secret,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := Open(ctx, Options{DatabaseURL: databaseURL})
		cancel()
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v", databaseURL, err)
		}
	}
}

// Lists page by bytes only where every column they order by compares by bytes.
func TestKeysCompareByBytes(t *testing.T) {
	o := Options{DatabaseURL: pgtest.Start(t)}
	open(t, o)
	conn, err := pgx.Connect(t.Context(), o.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var columns string
	if err := conn.QueryRow(t.Context(), `
		SELECT string_agg(table_name || '.' || column_name, ' ' ORDER BY table_name, column_name) FROM information_schema.columns
		WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name = 'C'`).Scan(&columns); err != nil {
		t.Fatal(err)
	}
	const want = "audiences.service audiences.uri change_subjects.subject counters.name credentials.id credentials.service keys.id once.key probes.service repeats.id revocations.id " +
		"rules.caller rules.target secrets.name services.name services.uid shadow_rules.caller shadow_rules.target " +
		"supertokens_keys.app supertokens_keys.id trusts.id trusts.issuer trusts.name usage.caller usage.credential usage.exchange usage.method usage.network usage.scopes usage.shadow usage.target usage.why usage.would usage_edges.caller usage_edges.target usage_scopes.id"
	if columns != want {
		t.Errorf("got %s, want %s", columns, want)
	}
}

// F77: a role that may only read.
func TestARoleThatMayOnlyReadIsNoticed(t *testing.T) {
	databaseURL := pgtest.Start(t)
	db := open(t, Options{DatabaseURL: databaseURL})
	if ahead, err := db.Heartbeat(t.Context()); err != nil || ahead.Abs() > 30*time.Second {
		t.Fatalf("got %v, %v", ahead, err)
	}
	role := "reader_" + db.config.Database
	administer(t, databaseURL, "CREATE ROLE "+role+" LOGIN PASSWORD 'of-a-reader'", "GRANT USAGE ON SCHEMA public TO "+role, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+role)
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "of-a-reader")
	reader := open(t, Options{DatabaseURL: u.String()})
	if _, err := reader.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Heartbeat(t.Context()); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v; want that the permission is missing", err)
	}
}
