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
	for l.expire(ctx); ; {
		select {
		case <-ctx.Done():
			return
		case <-deleting.C:
			l.expire(ctx)
		case <-signing.C:
			l.checkpoint()
		case <-l.due:
			l.checkpoint()
		}
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

// deletedSeq names the member of a deletion's detail that is its last sequence number.
const deletedSeq = "lastSeq"

// checkpoint queues a signature over the newest durable record.
func (l *Log) checkpoint() {
	l.mu.Lock()
	at, covered := l.durable, l.unsigned
	l.mu.Unlock()
	if l.o.Sign == nil || covered == 0 {
		return
	}
	payload, err := json.Marshal(statement{at.seq, hex.EncodeToString(at.hash[:]), string(appendTime(nil, l.o.Now()))})
	if err == nil {
		var jws, keyID string
		if jws, keyID, err = l.o.Sign(payload); err == nil {
			l.Begin(Event{Kind: KindCheckpoint, KeyID: keyID, Detail: map[string]string{checkpointToken: jws}})
		}
	}
	if err != nil {
		l.o.Logger.Warn("audit log: checkpoint not signed; it is tried again", "error", err)
		return
	}
	l.mu.Lock()
	l.unsigned -= covered
	l.mu.Unlock()
}

// expire deletes files all of whose records are older than the retention, oldest first. A
// deletion is recorded before it is done. What another program renamed is that program's.
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
		deletedSeq: strconv.FormatUint(last.Seq, 10), "lastHash": last.Hash, "lastTime": last.At.Format(time.RFC3339),
	}})
	if err != nil {
		return false, err
	}
	if err := os.Remove(s.path); err != nil {
		return false, fmt.Errorf("delete old audit log: %w", err)
	}
	return true, disk.SyncDir(l.dir)
}
