package once_test

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/once"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// BenchmarkUse is 32 callers, each with a name of its own each time: alone, and between the
// verification and the signature of a private_key_jwt. cpu-us/op is what this process spends on
// one; what PostgreSQL spends is not in it.
func BenchmarkUse(b *testing.B) {
	engines := map[string]func(b *testing.B) store.Options{
		"SQLite": func(b *testing.B) store.Options { return store.Options{DataDir: b.TempDir()} },
		"PostgreSQL": func(b *testing.B) store.Options {
			return store.Options{DatabaseURL: pgtest.New(b, pgtest.Options{Fsync: true}).Database(b)}
		},
	}
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		b.Run(engine, func(b *testing.B) {
			db, err := store.Open(b.Context(), engines[engine](b))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			b.Run("alone", func(b *testing.B) { useBetween(b, db, func() error { return nil }) })
			work := verifyAndSign(b)
			b.Run("between verify and sign", func(b *testing.B) { useBetween(b, db, work) })
		})
	}
	b.Run("only verify and sign", func(b *testing.B) { useBetween(b, nothing{}, verifyAndSign(b)) })
}

func useBetween(b *testing.B, s once.Store, work func() error) {
	c := &counting{Store: s}
	r := running(b, c, once.Options{})
	salt := rand.Text()
	var n atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	before := processorTime(b)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := work(); err != nil {
				b.Error(err)
				return
			}
			e := once.Entry{Key: once.Key("bench", salt, strconv.FormatInt(n.Add(1), 10)), Until: time.Now().Add(time.Minute)}
			if fresh, err := r.Use(b.Context(), e); err != nil || !fresh[0] {
				b.Error(fresh, err)
				return
			}
		}
	})
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(b.N)/float64(c.batches.Load()), "entries/commit")
}

// verifyAndSign is the cryptography of one request.
func verifyAndSign(b *testing.B) func() error {
	b.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	signer, err := jose.NewSigner("k", jose.ES256, key)
	if err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, 300)
	token, err := signer.Sign("JWT", payload)
	if err != nil {
		b.Fatal(err)
	}
	set := jose.NewKeySet(signer.Public())
	return func() error {
		parsed, err := jose.Parse(token)
		if err == nil {
			err = parsed.Verify(set, []jose.Algorithm{jose.ES256})
		}
		if err == nil {
			_, err = signer.Sign("at+jwt", payload)
		}
		return err
	}
}

type counting struct {
	once.Store
	batches atomic.Int64
}

func (c *counting) UseOnce(ctx context.Context, entries []once.Entry) ([]bool, error) {
	c.batches.Add(1)
	return c.Store.UseOnce(ctx, entries)
}

// nothing remembers nothing, at no cost.
type nothing struct{}

func (nothing) UseOnce(_ context.Context, entries []once.Entry) ([]bool, error) {
	fresh := make([]bool, len(entries))
	for i := range fresh {
		fresh[i] = true
	}
	return fresh, nil
}

func (nothing) PurgeOnce(context.Context, time.Time) error { return nil }
func (nothing) Now(context.Context) (time.Time, error)     { return time.Now(), nil }

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
