package store

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
	"github.com/watchword-dev/watchword/server/internal/store/storetest"
)

func benchBoth(b *testing.B, bench func(b *testing.B, o Options)) {
	b.Run("SQLite", func(b *testing.B) { bench(b, Options{DataDir: b.TempDir()}) })
	b.Run("PostgreSQL", func(b *testing.B) {
		bench(b, Options{DatabaseURL: pgtest.New(b, pgtest.Options{Fsync: true}).Database(b)})
	})
}

func BenchmarkLoadMillionRules(b *testing.B) {
	benchBoth(b, func(b *testing.B, o Options) {
		db := open(b, o)
		const services, rulesEach = 100_000, 10
		must(b, storetest.Fill(b.Context(), o.DataDir, o.DatabaseURL, services, rulesEach))
		b.ReportAllocs()
		for b.Loop() {
			state, err := db.Load(b.Context())
			if err != nil || len(state.Services) != services || len(state.Rules) != services*rulesEach {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkChange(b *testing.B) {
	benchBoth(b, func(b *testing.B, o Options) {
		db := open(b, o)
		for i := 0; b.Loop(); i++ {
			s := newService(fmt.Sprint("m", i))
			s.UID = [16]byte([]byte(directory.RandomID()))
			if _, err := db.InsertService(b.Context(), s, change(directory.SubjectService(s.UID))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkReadService(b *testing.B) {
	benchBoth(b, func(b *testing.B, o Options) {
		db := open(b, o)
		must(b, storetest.Fill(b.Context(), o.DataDir, o.DatabaseURL, 1000, 1))
		for i := 0; b.Loop(); i++ {
			if _, err := db.ReadService(b.Context(), storetest.UID(i%1000)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRecordThousandUses(b *testing.B) {
	benchBoth(b, func(b *testing.B, o Options) {
		db := open(b, o)
		must(b, storetest.Fill(b.Context(), o.DataDir, o.DatabaseURL, 1, 1))
		uses := make([]directory.Use, 1000)
		for i := range uses {
			c := newCredential(directory.Service{UID: storetest.UID(0)}, fmt.Sprint("c", i))
			if _, err := db.InsertCredential(b.Context(), c, change("x")); err != nil {
				b.Fatal(err)
			}
			uses[i] = directory.Use{Credential: c.ID, From: "192.0.2.1"}
		}
		for i := 0; b.Loop(); i++ {
			for j := range uses {
				uses[j].At = noon.Add(time.Duration(i) * time.Millisecond)
			}
			must(b, db.RecordUse(b.Context(), uses))
		}
	})
}

// BenchmarkOpen is the start on a database that is there.
func BenchmarkOpen(b *testing.B) {
	for _, services := range []int{3, 10_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			o := Options{DataDir: b.TempDir()}
			open(b, o).Close()
			must(b, storetest.Fill(b.Context(), o.DataDir, "", services, min(services, 10)))
			for b.Loop() {
				db, err := Open(b.Context(), o)
				must(b, err)
				db.Close()
			}
			if info, err := os.Stat(o.DataDir + "/" + sqliteFile); err == nil {
				b.ReportMetric(float64(info.Size())/(1<<20), "MiB")
			}
		})
	}
}
