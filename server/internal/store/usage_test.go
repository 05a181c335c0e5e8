package store

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

func newUse(caller, target directory.UID) usage.Use {
	return usage.Use{
		Edge: policy.Edge{Caller: caller, Target: target}, Credential: "c1", Scopes: "read write", Method: "private_key_jwt",
		Network: netip.MustParsePrefix("192.0.2.0/24"),
	}
}

func addUsage(t *testing.T, db *DB, rows ...usage.Row) {
	t.Helper()
	must(t, db.AddUsage(t.Context(), rows))
}

func listUsage(t *testing.T, db *DB, f usage.Filter) []usage.Row {
	t.Helper()
	rows, err := db.ListUsage(t.Context(), f)
	must(t, err)
	return rows
}

func TestUsageIsAddedUp(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		day := usage.DayOf(noon)
		plain := newUse(newUID(), newUID())
		full := plain
		full.Bound, full.Exchange, full.Actors, full.Network = true, policy.Delegate, 2, netip.Prefix{}
		full.Why, full.Would, full.Shadow = policy.NoRule, policy.RuleEnded, policy.NotBound
		addUsage(t, db, usage.Row{Day: day, Use: plain, N: 2, Last: noon}, usage.Row{Day: day, Use: full, N: 3, Last: noon})
		addUsage(t, db, usage.Row{Day: day, Use: plain, N: 5, Last: noon.Add(-time.Hour)}, usage.Row{Day: day + 1, Use: plain, N: 1, Last: noon.Add(24 * time.Hour)})
		addUsage(t, db, usage.Row{Day: day, Use: full, N: 1, Last: noon.Add(time.Hour)})
		addUsage(t, db)
		want := []usage.Row{
			{Day: day, Use: plain, N: 7, Last: noon},
			{Day: day, Use: full, N: 4, Last: noon.Add(time.Hour)},
			{Day: day + 1, Use: plain, N: 1, Last: noon.Add(24 * time.Hour)},
		}
		if d := cmp.Diff(want, listUsage(t, db, usage.Filter{}), comparePrefixes); d != "" {
			t.Error(d)
		}
	})
}

func TestUsageIsFiltered(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		a, b, c := newUID(), newUID(), newUID()
		var rows []usage.Row
		for i, e := range [][2]directory.UID{{a, b}, {a, c}, {b, c}} {
			u := newUse(e[0], e[1])
			u.Credential = fmt.Sprint("c", i)
			if i == 2 {
				u.Shadow = policy.NoRule
			}
			for d := range usage.Day(3) {
				rows = append(rows, usage.Row{Day: 20000 + d, Use: u, N: 1, Last: noon})
			}
		}
		addUsage(t, db, rows...)
		for name, c := range map[string]struct {
			f    usage.Filter
			want int
		}{
			"all":                       {usage.Filter{}, 9},
			"since":                     {usage.Filter{Since: 20001}, 6},
			"until":                     {usage.Filter{Until: 20000}, 3},
			"a caller":                  {usage.Filter{Caller: a}, 6},
			"a caller in a window":      {usage.Filter{Caller: a, Since: 20001, Until: 20001}, 2},
			"a target":                  {usage.Filter{Target: c}, 6},
			"an edge":                   {usage.Filter{Caller: a, Target: c, Since: 20001}, 2},
			"an edge in a window":       {usage.Filter{Caller: a, Target: c, Since: 20001, Until: 20030}, 2},
			"a credential":              {usage.Filter{Credential: "c1"}, 3},
			"decided otherwise":         {usage.Filter{Otherwise: true}, 3},
			"nobody":                    {usage.Filter{Caller: c}, 0},
			"a credential with a quote": {usage.Filter{Credential: "c' OR 1=1 --"}, 0},
		} {
			if got := listUsage(t, db, c.f); len(got) != c.want {
				t.Errorf("%s: got %d rows, want %d", name, len(got), c.want)
			}
		}
		stop := errors.New("enough")
		if err := db.EachUsage(t.Context(), usage.Filter{}, func(usage.Row) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
		edges, err := db.UsedEdges(t.Context(), 20001)
		if err != nil || len(edges) != 3 || edges[rows[0].Edge] != 20002 {
			t.Errorf("got %v, %v", edges, err)
		}
	})
}

func TestRefusedCallsDoNotUseAnEdge(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		u := newUse(newUID(), newUID())
		u.Why = policy.NoRule
		addUsage(t, db, usage.Row{Day: 20000, Use: u, N: 1, Last: noon})
		if edges, err := db.UsedEdges(t.Context(), 0); err != nil || len(edges) != 0 {
			t.Errorf("got %v, %v", edges, err)
		}
	})
}

// Purging is in steps, and leaves what is not old.
func TestOldUsageIsPurged(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		if _, ok, err := db.UsageSince(t.Context()); ok || err != nil {
			t.Errorf("got %v, %v of no usage", ok, err)
		}
		if err := db.PurgeUsage(t.Context(), 20000); err != nil {
			t.Error(err)
		}
		caller, target := newUID(), newUID()
		var rows []usage.Row
		for i := range 2*deleteAtOnce + 7 {
			u := newUse(caller, target)
			u.Scopes = fmt.Sprintf("s%04d", i)
			if i%2 == 0 {
				u.Caller = target
			}
			rows = append(rows, usage.Row{Day: usage.Day(19998 + i%4), Use: u, N: 1, Last: noon})
		}
		addUsage(t, db, rows...)
		must(t, db.PurgeUsage(t.Context(), 20001))
		for since, want := range map[usage.Day]int{0: 1, 20001: 1, 20002: 0} {
			if edges, err := db.UsedEdges(t.Context(), since); err != nil || len(edges) != want {
				t.Errorf("got %v, %v since %d", edges, err, since)
			}
		}
		first, ok, err := db.UsageSince(t.Context())
		if left := listUsage(t, db, usage.Filter{}); err != nil || !ok || first != 20001 || len(left) != len(rows)/4 {
			t.Errorf("got %d rows left from %s on, %v", len(left), first, err)
		}
	})
}

// Replicas that add the same rows at once add them all.
func TestUsageIsAddedByManyAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		rows := make([]usage.Row, 700)
		for i := range rows {
			u := newUse(directory.UID{1}, directory.UID{2})
			u.Scopes = fmt.Sprintf("s%04d", i)
			rows[i] = usage.Row{Day: 20000, Use: u, N: 1, Last: noon}
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := db.AddUsage(t.Context(), rows); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, r := range listUsage(t, db, usage.Filter{}) {
			if r.N != 8 {
				t.Fatalf("got %d of %s, want 8", r.N, r.Scopes)
			}
		}
	})
}

func BenchmarkAddUsage(b *testing.B) {
	for _, engine := range []string{"SQLite"} {
		b.Run(engine, func(b *testing.B) {
			db := open(b, Options{DataDir: b.TempDir()})
			for i := 0; b.Loop(); i++ {
				rows := make([]usage.Row, 2000)
				for j := range rows {
					u := newUse(directory.UID{byte(i >> 8), byte(i), byte(j >> 8), byte(j)}, directory.UID{2})
					rows[j] = usage.Row{Day: 20000, Use: u, N: 1, Last: noon}
				}
				must(b, db.AddUsage(b.Context(), rows))
			}
		})
	}
}

// F04: whatever the scopes are, and however many: a row has a place.
func TestUsageOfManyScopesIsStored(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		var scopes []string
		for len(strings.Join(scopes, " ")) < 4000 {
			scopes = append(scopes, directory.RandomID()) // nothing that could be compressed
		}
		slices.Sort(scopes)
		day := usage.DayOf(noon)
		long, short := newUse(newUID(), newUID()), newUse(newUID(), newUID())
		long.Scopes = strings.Join(scopes, " ")
		other := long
		other.Scopes = strings.Join(scopes[1:], " ")
		for range 2 {
			for _, u := range []usage.Use{long, short, other} {
				addUsage(t, db, usage.Row{Day: day, Use: u, N: 2, Last: noon})
			}
		}
		got := map[string]int64{}
		for _, r := range listUsage(t, db, usage.Filter{}) {
			got[r.Scopes] += r.N
		}
		if len(got) != 3 || got[long.Scopes] != 4 || got[other.Scopes] != 4 || got[short.Scopes] != 4 {
			t.Errorf("got %v", got)
		}
		must(t, db.PurgeUsage(t.Context(), day+1))
		var left int
		if err := db.readers.QueryRow(`SELECT COUNT(*) FROM usage_scopes`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d lists of scopes are left, %v", left, err)
		}
	})
}

// F04: of a row that no database takes, the store says that the row is at fault.
func TestARowThatCannotBeStoredIsTold(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		db := open(t, o)
		bad := newUse(newUID(), newUID())
		bad.Credential = "no\x00text"
		if err := db.AddUsage(t.Context(), []usage.Row{{Day: usage.DayOf(noon), Use: bad, N: 1, Last: noon}}); !errors.Is(err, usage.ErrRow) {
			t.Errorf("got %v", err)
		}
		if o.DatabaseURL != "" {
			var random strings.Builder
			for random.Len() < 8000 {
				random.WriteString(directory.RandomID())
			}
			bad.Credential = random.String() // in the key, so PostgreSQL has no index entry for it: SQLSTATE 54000
			if err := db.AddUsage(t.Context(), []usage.Row{{Day: usage.DayOf(noon), Use: bad, N: 1, Last: noon}}); !errors.Is(err, usage.ErrRow) {
				t.Errorf("got %v", err)
			}
		}
		db.Close()
		if err := db.AddUsage(t.Context(), []usage.Row{{Day: usage.DayOf(noon), Use: newUse(newUID(), newUID()), N: 1, Last: noon}}); err == nil || errors.Is(err, usage.ErrRow) {
			t.Errorf("a closed database: got %v", err)
		}
	})
}
