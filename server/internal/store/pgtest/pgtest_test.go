//go:build unix

package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func query(t *testing.T, databaseURL, sql string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestDatabasesAreSeparateOnOneServer(t *testing.T) {
	a, b := Start(t), Start(t)
	if a == b {
		t.Fatal("got the same database twice")
	}
	const started, name = `SELECT pg_postmaster_start_time()::text`, `SELECT current_database()`
	if x, y := query(t, a, started), query(t, b, started); x != y {
		t.Errorf("got two servers, started %s and %s", x, y)
	}
	if x, y := query(t, a, name), query(t, b, name); x == y {
		t.Errorf("both URLs lead to %s", x)
	}
}

func TestServerComesBackWithItsData(t *testing.T) {
	s := New(t, Options{Fsync: true})
	db := s.Database(t)
	if got := query(t, db, `SHOW fsync`); got != "on" {
		t.Errorf("got fsync %s, want on", got)
	}
	conn, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE t AS SELECT 'kept' AS v`); err != nil {
		t.Fatal(err)
	}
	s.Stop(t, "immediate")
	if _, err := pgx.Connect(t.Context(), db); err == nil {
		t.Error("a stopped server answers")
	}
	s.Start(t)
	if got := query(t, db, `SELECT v FROM t`); got != "kept" {
		t.Errorf("got %q", got)
	}
}
