package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

const (
	usageKey     = `day, caller, target, credential, scopes, method, bound, exchange, actors, network, why, would, shadow`
	usageColumns = usageKey + `, n, last_at`
)

// AddUsage adds rows to what is there for the same day and use, in one transaction. No two rows are
// of one day and use. Rows in one order, on all replicas, do not lock each other out.
func (db *DB) AddUsage(ctx context.Context, rows []usage.Row) error {
	values, edges := make([][]any, len(rows)), map[policy.Edge]usage.Day{}
	for i := range rows {
		r := &rows[i]
		values[i] = usageValues(r)
		if r.Why == "" {
			edges[r.Edge] = max(edges[r.Edge], r.Day)
		}
	}
	used := make([][]any, 0, len(edges))
	for e, day := range edges {
		caller, target := formatEdge(e)
		used = append(used, []any{caller, target, int64(day)})
	}
	slices.SortFunc(used, func(a, b []any) int {
		return cmp.Or(strings.Compare(a[0].(string), b[0].(string)), strings.Compare(a[1].(string), b[1].(string)))
	})
	long := longScopes(rows, values)
	err := db.write(ctx, "add usage", func(ctx context.Context, t tx) error {
		if err := t.upsertAll(ctx, `usage_scopes (id, scopes, last_day)`, `(id) DO UPDATE SET last_day = excluded.last_day
			WHERE usage_scopes.last_day < excluded.last_day`, long); err != nil {
			return err
		}
		err := t.upsertAll(ctx, `usage (`+usageColumns+`)`, `(`+usageKey+`) DO UPDATE SET
			n = usage.n + excluded.n, last_at = CASE WHEN excluded.last_at > usage.last_at THEN excluded.last_at ELSE usage.last_at END`, values)
		if err != nil {
			return err
		}
		return t.upsertAll(ctx, `usage_edges (caller, target, last_day)`, `(caller, target) DO UPDATE SET last_day = excluded.last_day
			WHERE usage_edges.last_day < excluded.last_day`, used)
	})
	if err != nil && unstorable(err) {
		return fmt.Errorf("%w: %w", usage.ErrRow, err)
	}
	return err
}

// maxKeyScopes is the longest list of scopes, in bytes, that a row contains itself. The list is part of the key, and
// PostgreSQL stores no index entry of more than 2,704 bytes.
const maxKeyScopes = 1024

// longScopesOf is the list of scopes that a row refers to, or nothing if the row contains it itself. No scope contains
// a space, so a list that begins with one is a reference.
const longScopesOf = `CASE WHEN SUBSTR(scopes, 1, 1) = ' ' THEN (SELECT l.scopes FROM usage_scopes l WHERE l.id = usage.scopes) ELSE '' END`

// longScopes replaces each list of scopes in values that is too long for the key by a reference, and returns the rows
// of usage_scopes that are referred to.
func longScopes(rows []usage.Row, values [][]any) (long [][]any) {
	days := map[string]int{}
	for i := range rows {
		scopes := rows[i].Scopes
		if len(scopes) <= maxKeyScopes {
			continue
		}
		sum := sha256.Sum256([]byte(scopes))
		id := " " + base64.RawURLEncoding.EncodeToString(sum[:])
		values[i][scopesColumn] = id
		if at, known := days[id]; known {
			long[at][2] = max(long[at][2].(int64), int64(rows[i].Day))
			continue
		}
		days[id] = len(long)
		long = append(long, []any{id, scopes, int64(rows[i].Day)})
	}
	slices.SortFunc(long, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) })
	return long
}

// scopesColumn is the index of scopes in usageColumns.
const scopesColumn = 4

func (t tx) upsertAll(ctx context.Context, into, onConflict string, rows [][]any) error {
	for chunk := range slices.Chunk(rows, rowsPerStatement) {
		if _, err := t.insertOr(ctx, into, "", onConflict, chunk); err != nil {
			return err
		}
	}
	return nil
}

func usageValues(r *usage.Row) []any {
	caller, target := formatEdge(r.Edge)
	network := ""
	if r.Network.IsValid() {
		network = r.Network.String()
	}
	return []any{
		int64(r.Day), caller, target, r.Credential, r.Scopes, r.Method, r.Bound, string(r.Exchange), r.Actors, network,
		string(r.Why), string(r.Would), string(r.Shadow), r.N, micros(r.Last),
	}
}

// EachUsage calls each with the rows that f chooses, by day, then caller and target, as they stood at
// one moment. Its error ends that, and is returned.
func (db *DB) EachUsage(ctx context.Context, f usage.Filter, each func(usage.Row) error) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	query, args := usageQuery(f)
	err := db.readAll(ctx, func(ctx context.Context, t tx) error {
		rows, err := t.tx.QueryContext(ctx, `SELECT `+usageColumns+`, `+longScopesOf+` FROM usage`+query+` ORDER BY day, caller, target`, args...) //nolint:gosec // of constants
		if err != nil {
			return err
		}
		defer rows.Close()
		s := usageScanner{networks: map[string]netip.Prefix{}, edges: map[string]directory.UID{}}
		for rows.Next() {
			row, err := s.scan(rows)
			if err != nil {
				return err
			}
			if err := each(row); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("read usage: %w", err)
	}
	return nil
}

// ListUsage collects what EachUsage finds.
func (db *DB) ListUsage(ctx context.Context, f usage.Filter) (all []usage.Row, err error) {
	err = db.EachUsage(ctx, f, func(r usage.Row) error { all = append(all, r); return nil })
	return all, err
}

// namedDays is how many days of one caller are named one by one: the key begins with the day, so a
// list of days is as many look-ups, where a range of days would be a scan of all in it.
const namedDays = 400

func usageQuery(f usage.Filter) (query string, args []any) {
	var where []string
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, condition+` $`+strconv.Itoa(len(args)))
	}
	none := policy.ServiceID{}
	named := f.Caller != none && f.Target == none && f.Until != 0 && f.Until-f.Since < namedDays
	switch {
	case named:
		days := make([]string, 0, f.Until-f.Since+1)
		for d := f.Since; d <= f.Until; d++ {
			days = append(days, strconv.Itoa(int(d)))
		}
		where = append(where, `day IN (`+strings.Join(days, ", ")+`)`)
	default:
		add(`day >=`, int64(f.Since))
		if f.Until != 0 {
			add(`day <=`, int64(f.Until))
		}
	}
	if f.Caller != none {
		add(`caller =`, directory.FormatUID(f.Caller))
	}
	if f.Target != none {
		add(`target =`, directory.FormatUID(f.Target))
	}
	if f.Credential != "" {
		add(`credential =`, f.Credential)
	}
	if f.Otherwise {
		where = append(where, `(would <> '' OR shadow <> '')`)
	}
	return ` WHERE ` + strings.Join(where, ` AND `), args
}

// usageScanner remembers what it parsed: a window of usage has few networks and services, and many rows.
type usageScanner struct {
	networks map[string]netip.Prefix
	edges    map[string]directory.UID
}

func (s *usageScanner) scan(row scanner) (r usage.Row, err error) {
	var day, last int64
	var caller, target, network, long string
	err = row.Scan(&day, &caller, &target, &r.Credential, &r.Scopes, &r.Method, &r.Bound, &r.Exchange, &r.Actors, &network,
		&r.Why, &r.Would, &r.Shadow, &r.N, &last, &long)
	if err != nil {
		return r, err
	}
	r.Day, r.Last = usage.Day(day), moment(last)
	if long != "" {
		r.Scopes = long
	}
	if r.Caller, err = s.uid(caller); err != nil {
		return r, err
	}
	if r.Target, err = s.uid(target); err != nil || network == "" {
		return r, err
	}
	p, known := s.networks[network]
	if !known {
		if p, err = netip.ParsePrefix(network); err != nil {
			return r, err
		}
		s.networks[network] = p
	}
	r.Network = p
	return r, nil
}

func (s *usageScanner) uid(text string) (directory.UID, error) {
	if u, known := s.edges[text]; known {
		return u, nil
	}
	u, err := directory.ParseUID(text)
	if err == nil {
		s.edges[text] = u
	}
	return u, err
}

// UsedEdges are the edges that were allowed on since or later, each with the day that was last.
func (db *DB) UsedEdges(ctx context.Context, since usage.Day) (edges map[policy.Edge]usage.Day, err error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	edges = map[policy.Edge]usage.Day{}
	err = db.readAll(ctx, func(ctx context.Context, t tx) error {
		rows, err := t.tx.QueryContext(ctx, `SELECT caller, target, last_day FROM usage_edges WHERE last_day >= $1`, int64(since))
		if err != nil {
			return err
		}
		defer rows.Close()
		s := usageScanner{edges: map[string]directory.UID{}}
		for rows.Next() {
			var e policy.Edge
			var caller, target string
			var day int64
			if err := rows.Scan(&caller, &target, &day); err != nil {
				return err
			}
			if e.Caller, err = s.uid(caller); err != nil {
				return err
			}
			if e.Target, err = s.uid(target); err != nil {
				return err
			}
			edges[e] = usage.Day(day)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read used edges: %w", err)
	}
	return edges, nil
}

// UsageSince is the first day of which there are records. ok false: there are none at all.
func (db *DB) UsageSince(ctx context.Context) (first usage.Day, ok bool, err error) {
	var day sql.NullInt64
	err = db.read(ctx, "read first day of usage", func(ctx context.Context, t tx) error {
		return t.row(ctx, `SELECT MIN(day) FROM usage`).Scan(&day)
	})
	return usage.Day(day.Int64), day.Valid, err
}

// PurgeUsage deletes the days before one, in steps between which others get their turn: a caller at
// least, or some of them.
func (db *DB) PurgeUsage(ctx context.Context, before usage.Day) error {
	for more := true; more; {
		err := db.write(ctx, "purge usage", func(ctx context.Context, t tx) error {
			var day int64
			var caller string
			err := t.row(ctx, `SELECT day, caller FROM (SELECT day, caller FROM usage WHERE day < $1 ORDER BY day, caller LIMIT $2) AS step
				ORDER BY day DESC, caller DESC LIMIT 1`, int64(before), deleteAtOnce).Scan(&day, &caller)
			if more = !errors.Is(err, sql.ErrNoRows); !more {
				return errNothingToDo
			}
			if err == nil {
				_, err = t.exec(ctx, `DELETE FROM usage WHERE (day, caller) <= ($1, $2)`, day, caller)
			}
			return err
		})
		if err != nil && !errors.Is(err, errNothingToDo) {
			return err
		}
	}
	err := db.deleteAll(ctx, `DELETE FROM usage_edges WHERE (caller, target) IN
		(SELECT caller, target FROM usage_edges WHERE last_day < $1 LIMIT $2`+db.skipLocked()+`)`, int64(before))
	if err != nil {
		return fmt.Errorf("purge used edges: %w", err)
	}
	err = db.deleteAll(ctx, `DELETE FROM usage_scopes WHERE id IN (SELECT id FROM usage_scopes WHERE last_day < $1 LIMIT $2`+db.skipLocked()+`)`, int64(before))
	return attempted("purge used scopes", err)
}
