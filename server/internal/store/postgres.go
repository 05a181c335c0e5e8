package store

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/watchword-dev/watchword/internal/netaddr"
)

const (
	poolSize       = 20
	connectTimeout = 5 * time.Second
	channel        = "watchword"
	// migrationLock is an advisory lock: "watchwrd" in ASCII.
	migrationLock = 0x7761746368777264
	oldestServer  = 150000
)

func openPostgres(ctx context.Context, o Options) (*DB, error) {
	config, err := parseURL(o.DatabaseURL)
	if err != nil {
		return nil, err
	}
	db := &DB{engine: postgresEngine, o: o, config: config}
	if err := db.meetServer(ctx); err != nil {
		return nil, fmt.Errorf("open PostgreSQL database: %w", advise(err, o.DatabaseURL))
	}
	pool := stdlib.OpenDB(*config,
		stdlib.OptionAfterConnect(func(_ context.Context, c *pgx.Conn) error {
			c.PgConn().CustomData()["generation"] = db.generation.Load()
			return nil
		}),
		stdlib.OptionResetSession(func(_ context.Context, c *pgx.Conn) error {
			if generationOf(c) != db.generation.Load() {
				return driver.ErrBadConn
			}
			return nil
		}))
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(4)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(30 * time.Minute)
	db.writer, db.readers = pool, pool
	if err := db.bringUpPostgres(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open PostgreSQL database: %w", err), pool.Close())
	}
	return db, nil
}

// parseURL reads the URL. What is wrong with it is not told: the text around a mistake may
// be the password.
func parseURL(databaseURL string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil || misread(config) {
		return nil, errors.New("the database URL cannot be read: it is to look like postgres://user:password@host:5432/name?sslmode=verify-full, " +
			"with special characters of the password written as %XX; files it names must exist")
	}
	if err := secure(config, namesMode(databaseURL)); err != nil {
		return nil, err
	}
	// Nothing is prepared by name, so no plan goes stale when a newer replica changes the schema.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.ValidateConnect == nil {
		// Of several hosts the one that takes writes, also after a failover.
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if _, set := config.RuntimeParams["application_name"]; !set {
		config.RuntimeParams["application_name"] = "watchword"
	}
	return config, nil
}

// idleTimeout ends the transaction of a replica that was stopped in the middle of a change, so that it does not hold up
// the others.
const idleTimeout, idleTimeoutValue = "idle_in_transaction_session_timeout", "10s"

// meetServer makes a first connection, looks at the version of the server, and finds out whether there is a pooler such as
// PgBouncer in between. A pooler gives each transaction any connection that is free. So nothing that belongs to a
// connection can be relied on: neither parameters, nor locks of the session, nor LISTEN.
func (db *DB) meetServer(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, db.config.Copy())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var version int
	var process uint32
	if err := conn.QueryRow(ctx, `SELECT CAST(current_setting('server_version_num') AS INTEGER), pg_backend_pid()`).Scan(&version, &process); err != nil {
		return fmt.Errorf("read the server's version: %w", err)
	}
	if err := checkServer(version); err != nil {
		return err
	}
	// A server names its process to the client (PostgreSQL, "Message Formats", BackendKeyData). A pooler makes a number up.
	db.pooled = conn.PgConn().PID() != process
	if _, set := db.config.RuntimeParams[idleTimeout]; !set && !db.pooled {
		db.config.RuntimeParams[idleTimeout] = idleTimeoutValue
	}
	return nil
}

// advise adds to an error of the first connection what to set.
func advise(err error, databaseURL string) error {
	var pg *pgconn.PgError
	switch {
	case !namesMode(databaseURL) && lacksProof(err):
		return fmt.Errorf("%w: since the database URL does not name an sslmode, the server must prove with a certificate that it is the host that is "+
			"named; add sslrootcert=FILE, with the authority that issued the certificate, or sslmode=disable for a connection without TLS", err)
	case errors.As(err, &pg) && strings.HasPrefix(pg.Message, "unsupported startup parameter"):
		return fmt.Errorf("%w: PgBouncer does not pass on this parameter of the database URL, or of PGOPTIONS; leave it out there, "+
			"or name it in ignore_startup_parameters of PgBouncer, which then ignores it", err)
	}
	return err
}

// namesMode reports whether the operator chose how the connection is protected.
func namesMode(databaseURL string) bool {
	return os.Getenv("PGSSLMODE") != "" || modeName.MatchString(databaseURL)
}

var modeName = regexp.MustCompile(`\bsslmode\s*=`)

// secure has each server beyond this machine prove who it is, unless the operator named another mode. Modes that
// take no TLS where they are offered none are those of somebody in between (libpq, "SSL Support", table of modes).
func secure(config *pgx.ConnConfig, named bool) error {
	all := append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
	plain, encrypted := map[string]bool{}, map[string]bool{}
	var kept []*pgconn.FallbackConfig
	for _, f := range all {
		network, _ := pgconn.NetworkAddress(f.Host, f.Port)
		switch beyond := network != "unix" && !netaddr.IsLoopback(f.Host); {
		case !beyond:
		case named:
			plain[f.Host], encrypted[f.Host] = plain[f.Host] || f.TLSConfig == nil, encrypted[f.Host] || f.TLSConfig != nil
		case f.TLSConfig == nil:
			continue
		default: // verify-full
			f.TLSConfig.InsecureSkipVerify, f.TLSConfig.ServerName = false, f.Host
		}
		if plain[f.Host] && encrypted[f.Host] {
			return errors.New("the database URL, or PGSSLMODE, has an sslmode with which a connection over the network may be without TLS unnoticed: " +
				"write sslmode=verify-full, or sslmode=disable for a connection without TLS")
		}
		kept = append(kept, f)
	}
	config.Host, config.Port, config.TLSConfig, config.Fallbacks = kept[0].Host, kept[0].Port, kept[0].TLSConfig, kept[1:]
	return nil
}

// lacksProof reports whether a connection failed because the server did not prove who it is.
func lacksProof(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok || strings.Contains(err.Error(), "server refused TLS connection") // pgconn has no type for it
}

// misread reports whether a part of the password, with a character that ought to have been
// escaped, may stand where connection errors show it.
func misread(c *pgx.ConnConfig) bool {
	parts := append(slices.Collect(maps.Keys(c.RuntimeParams)), c.Host, c.Database)
	for _, f := range c.Fallbacks {
		parts = append(parts, f.Host)
	}
	return slices.ContainsFunc(parts, func(s string) bool { return strings.Contains(s, "@") })
}

func (db *DB) bringUpPostgres(ctx context.Context) error {
	s, err := newSchema(postgresEngine, db.writer, db.o.migrations)
	if err != nil {
		return err
	}
	conn, err := db.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	current := func(q querier) (v int64, err error) {
		var there bool
		err = q.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, versionTable).Scan(&there)
		if err == nil && there {
			v, err = storedVersion(ctx, q)
		}
		if err != nil {
			return 0, fmt.Errorf("read the schema's version: %w", err)
		}
		if v > s.version {
			return 0, newerSchema("the PostgreSQL database", v, s.version)
		}
		return v, nil
	}
	if v, err := current(conn); err != nil || v == s.version {
		return err
	}
	lock, err := lockSchema(ctx, conn)
	if err != nil {
		return fmt.Errorf("wait for another replica that changes the schema: %w", err)
	}
	defer func() { _ = lock.Rollback() }()
	v, err := current(lock)
	if err != nil || v == s.version {
		return err
	}
	if err := s.up(ctx); err != nil && v == 0 {
		return fmt.Errorf("%w; give Watchword a database of its own", err)
	} else if err != nil {
		return err
	}
	return nil
}

// lockSchema waits until no other replica changes the schema: of those that start together, one does. The lock belongs to a
// transaction, which a pooler leaves on its connection, and the schema is changed on another. So that connections are
// left for that, whoever waits gives its own back ten times a second.
func lockSchema(ctx context.Context, conn *sql.Conn) (*sql.Tx, error) {
	for {
		lock, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		_, err = lock.ExecContext(ctx, `SELECT set_config($1, '0', true), set_config('lock_timeout', '100ms', true)`, idleTimeout)
		if err == nil {
			_, err = lock.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock))
		}
		if err == nil {
			return lock, nil
		}
		_ = lock.Rollback()
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "55P03" { // lock_not_available
			return nil, err
		}
	}
}

func checkServer(number int) error {
	if number < oldestServer {
		return fmt.Errorf("the server is PostgreSQL %d; Watchword needs %d or later", number/10000, oldestServer/10000)
	}
	return nil
}

// generationOf is when a connection was made, counted in losses.
func generationOf(c *pgx.Conn) int64 {
	g, _ := c.PgConn().CustomData()["generation"].(int64)
	return g
}

// useless reports whether err means that its connection cannot do the work any more: the server
// ends it, or became a standby under it (25006, after a failover that kept connections).
func useless(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(pg.Code, "08") || slices.Contains([]string{"25006", "57P01", "57P02", "57P03"}, pg.Code))
}

// retriable reports whether the server rolled the transaction back only because of another one.
func retriable(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}

// Notifications yields once for each notice of a change, and 0 once it listens: what was
// committed before that was not heard. On SQLite, where nobody else writes, and through a
// pooler, which passes on no notices, it only waits for the end of ctx.
func (db *DB) Notifications(ctx context.Context) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		if db.engine == sqliteEngine || db.pooled {
			<-ctx.Done()
			return
		}
		err := db.listen(ctx, func(revision int64) bool { return yield(revision, nil) })
		if err != nil && ctx.Err() == nil {
			yield(0, fmt.Errorf("listen for changes: %w", err))
		}
	}
}

// listen returns nil when notice does not want more.
func (db *DB) listen(ctx context.Context, notice func(revision int64) bool) error {
	conn, err := pgx.ConnectConfig(ctx, db.config.Copy())
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	if !notice(0) {
		return nil
	}
	for {
		n, err := waitNotice(ctx, conn)
		if err != nil {
			return err
		}
		if n == nil {
			continue
		}
		revision, _ := strconv.ParseInt(n.Payload, 10, 64) // 0, unknown, when someone else sent it
		if !notice(max(revision, 0)) {
			return nil
		}
	}
}

// waitNotice waits a while for a notice; when none came, it asks the server whether it is
// still there, since a connection that was cut says nothing.
func waitNotice(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	n, err := conn.WaitForNotification(wait)
	if err == nil || ctx.Err() != nil || wait.Err() == nil {
		return n, err
	}
	ping, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return nil, conn.Ping(ping)
}
