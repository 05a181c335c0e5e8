package audit

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

var sample = Event{
	At: time.Date(2026, 11, 24, 12, 0, 0, 123_456_789, time.UTC), ID: "0123456789abcdef0123456789abcdef", Kind: KindDecision,
	Outcome: Allowed, Reason: "allowed", Endpoint: "accesstoken", RequestID: "0123456789abcdef", Address: "192.0.2.17",
	Caller: "m1", CallerUID: "svc_0123456789abcdef0123456789abcdef", Target: "m2", Scope: "read write",
	Credential: "0123456789abcdef0123456789abcdef", Token: "0123456789abcdef0123456789abcdef",
	KeyID: "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	var line []byte
	var l link
	for b.Loop() {
		line, l = l.appendRecord(line[:0], &sample)
	}
	b.SetBytes(int64(len(line)))
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{})
			must(b, err)
			go l.Run(context.Background())
			defer l.Close()
			b.ReportAllocs()
			b.ResetTimer()
			before := l.Stats()
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					for range b.N/n + min(1, max(0, b.N%n-i)) {
						if err := l.Append(context.Background(), sample); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			after := l.Stats()
			b.ReportMetric(float64(after.Events-before.Events)/float64(after.Batches-before.Batches), "events/sync")
			b.ReportMetric(float64(after.Events-before.Events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkVerifyDir(b *testing.B) {
	dir := b.TempDir()
	var l link
	var lines []byte
	const n = 100_000
	for range n {
		lines, l = l.appendRecord(lines, &sample)
	}
	write(b, segmentPath(dir, 1), lines)
	for b.Loop() {
		if r, err := VerifyDir(dir, Known{}); err != nil || r.Records != n {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}

func BenchmarkOpenFullFile(b *testing.B) {
	dir := b.TempDir()
	var l link
	var lines []byte
	for len(lines) < defaultMaxSize {
		lines, l = l.appendRecord(lines, &sample)
	}
	write(b, segmentPath(dir, 1), lines)
	for b.Loop() {
		log, err := Open(dir, Options{MaxSize: 1 << 40})
		must(b, err)
		b.StopTimer()
		must(b, log.Run(stopped()))
		log.Close()
		b.StartTimer()
	}
}

func stopped() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	return ctx
}
