package audit

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/server/internal/disk"
)

// maintain signs checkpoints and deletes old files. It is a goroutine of its own because a
// signing key may be far away and deleting a large file may take long.
func (l *Log) maintain(ctx context.Context) {
	signing := time.NewTicker(l.o.CheckpointAfter)
	defer signing.Stop()
	deleting := time.NewTicker(time.Hour)
	defer deleting.Stop()
	counting := time.NewTimer(0) // runs while there is something counted
	<-counting.C
	defer counting.Stop()
	// The process before this one may have left records that no checkpoint covers. A server
	// that is started again and again would never come to sign them.
	if l.begun.Wait(ctx) == nil {
		l.checkpoint(ctx)
	}
	for l.expire(ctx); ; {
		select {
		case <-ctx.Done():
			return
		case <-deleting.C:
			l.expire(ctx)
		case <-l.refusals.first:
			counting.Reset(SummaryEvery)
		case <-counting.C:
			l.recordCounted()
		case <-signing.C:
			l.checkpoint(ctx)
		case <-l.due:
			l.checkpoint(ctx)
		}
	}
}

// recordCounted records how many events had no record of their own. While there is no room for that on
// the disk, the counts are kept.
func (l *Log) recordCounted() {
	if !l.refusals.space() {
		nudge(l.refusals.first)
		return
	}
	for _, e := range l.refusals.summaries() {
		l.Begin(e)
	}
}

// statement is what a checkpoint signs.
type statement struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
	Time string `json:"time"`
}

// checkpointToken names the member of a checkpoint's detail that holds the signature.
const checkpointToken = "jws"

// The members of a deletion's detail that are the number and the hash of the last record deleted.
const (
	deletedSeq  = "lastSeq"
	deletedHash = "lastHash"
)

// checkpoint records a signature over the newest durable record, if one is due.
func (l *Log) checkpoint(ctx context.Context) {
	if !l.unsignedEvents() {
		return
	}
	if err := l.sign().Wait(ctx); err != nil && ctx.Err() == nil {
		l.o.Logger.Warn("audit log: checkpoint not signed; it is tried again", "error", err)
	}
}

// unsignedEvents reports whether there are events on disk that no checkpoint covers, and a way to
// sign one.
func (l *Log) unsignedEvents() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.o.Sign != nil && l.unsigned > 0
}

// sign queues a signature over the newest durable record. Until it is durable there must be no
// other, or both would count as covering the same events.
func (l *Log) sign() *Pending {
	l.mu.Lock()
	at, covers := l.durable, l.unsigned
	l.mu.Unlock()
	payload, err := json.Marshal(statement{at.seq, hex.EncodeToString(at.hash[:]), string(appendTime(nil, l.o.Now()))})
	if err != nil {
		return failed(err)
	}
	jws, keyID, err := l.o.Sign(payload)
	if err != nil {
		return failed(err)
	}
	return l.begin(Event{Kind: KindCheckpoint, KeyID: keyID, Detail: map[string]string{checkpointToken: jws}}, covers)
}

// expire deletes files all of whose records are older than the retention, oldest first. A
// deletion is recorded, and the record signed, before it is done. What another program renamed is
// that program's.
func (l *Log) expire(ctx context.Context) {
	if l.o.Retention <= 0 {
		return
	}
	list, err := segments(l.dir)
	for i := 0; err == nil && i+1 < len(list); i++ {
		if list[i].suffix != "" {
			continue
		}
		var old bool
		if old, err = l.expireFile(ctx, list[i]); !old {
			break
		}
	}
	if err != nil && ctx.Err() == nil {
		l.o.Logger.Warn("audit log: old files not deleted; it is tried again in an hour", "error", err)
	}
}

func (l *Log) expireFile(ctx context.Context, s segment) (old bool, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return false, fmt.Errorf("open old audit log: %w", err)
	}
	defer f.Close()
	t, err := readTail(f)
	if err != nil {
		return false, err
	}
	if t.last.seq == 0 {
		return true, nil // left empty by a crash; perhaps the one the writer is about to use
	}
	last, err := t.lastRecord()
	if err != nil || !last.At.Before(l.o.Now().Add(-l.o.Retention)) {
		return false, err
	}
	err = l.Append(ctx, Event{Kind: KindLog, Action: "log.delete", Subject: filepath.Base(s.path), Detail: map[string]string{
		deletedSeq: strconv.FormatUint(last.Seq, 10), deletedHash: last.Hash, "lastTime": last.At.Format(time.RFC3339),
	}})
	if err == nil && l.o.Sign != nil {
		err = l.sign().Wait(ctx)
	}
	if err != nil {
		return false, err
	}
	if err := os.Remove(s.path); err != nil {
		return false, fmt.Errorf("delete old audit log: %w", err)
	}
	return true, disk.SyncDir(l.dir)
}
