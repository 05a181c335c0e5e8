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
	Outcome: Allowed, Reason: "allowed", Door: "accesstoken", RequestID: "0123456789abcdef", Address: "192.0.2.17",
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
			if err != nil {
				b.Fatal(err)
			}
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
