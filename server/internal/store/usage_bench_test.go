package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// usageOf are n edges of a day, in the order in which they are written.
func usageOf(day usage.Day, from, n int) []usage.Row {
	rows := make([]usage.Row, n)
	for i := range rows {
		c, g := (from+i)/10, (from+i)%10
		u := newUse(directory.UID{0: byte(c >> 16), 1: byte(c >> 8), 2: byte(c), 15: 1}, directory.UID{0: byte(g), 15: 2})
		u.Credential = "0123456789abcdef0123456789abcdef"
		rows[i] = usage.Row{Day: day, Use: u, N: 7, Last: noon}
	}
	return rows
}

// A million edges used in one day: written in batches, added to again, read, looked up. Run with
// -benchtime 1x.
func BenchmarkMillionEdges(b *testing.B) {
	const edges, batch = 1_000_000, 2000
	o := Options{DataDir: b.TempDir()}
	db := open(b, o)
	write := func(b *testing.B) {
		for from := 0; from < edges; from += batch {
			must(b, db.AddUsage(b.Context(), usageOf(20000, from, batch)))
		}
	}
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			write(b)
		}
		size := int64(0)
		files, _ := filepath.Glob(filepath.Join(o.DataDir, sqliteFile+"*"))
		for _, f := range files {
			if i, err := os.Stat(f); err == nil {
				size += i.Size()
			}
		}
		b.ReportMetric(float64(size)/edges, "B/edge")
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			write(b)
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := db.EachUsage(b.Context(), usage.Filter{}, func(usage.Row) error { n++; return nil }); err != nil || n != edges {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("edges", func(b *testing.B) {
		for b.Loop() {
			if used, err := db.UsedEdges(b.Context(), 19990); err != nil || len(used) != edges {
				b.Fatal(len(used), err)
			}
		}
	})
	b.Run("caller", func(b *testing.B) {
		for b.Loop() {
			f := usage.Filter{Since: 19971, Until: 20000, Caller: policy.ServiceID{0: 1, 15: 1}}
			if rows, err := db.ListUsage(b.Context(), f); err != nil || len(rows) != 10 {
				b.Fatal(len(rows), err)
			}
		}
	})
}
