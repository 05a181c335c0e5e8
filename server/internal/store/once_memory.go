package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/server/internal/once"
)

// usedOnce is what the table once_batches holds, in memory: on SQLite one process writes. It is the
// index of the table, which SQLite would have to keep itself otherwise: keys are random, so each
// would dirty a page of its own, 4 KiB to the log and to the file for 30 bytes. Measured with
// 300,000 keys that was 40 us a key, and is 2 us this way.
type usedOnce struct {
	mu sync.Mutex
	// slots hold what ends in the same minute, which is forgotten together.
	slots map[int64]map[digest]struct{}
	// last is the id of the last row in slots. Rows after it are there after a start, and when a
	// transaction failed that was committed all the same.
	last    int64
	current bool // there are none
	// forgotten is, in microseconds, the latest end of what was dropped from slots or from the table.
	forgotten int64
}

// digest stands for a key: it has no pointer for the garbage collector to follow.
type digest [16]byte

func digestOf(key string) digest {
	sum := sha256.Sum256([]byte(key))
	return digest(sum[:16])
}

// slotLength is one minute in microseconds.
const slotLength = 60_000_000

func (u *usedOnce) use(ctx context.Context, db *DB, entries []once.Entry) ([]bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.catchUp(ctx, db); err != nil {
		return nil, err
	}
	fresh, digests := make([]bool, len(entries)), make([]digest, len(entries))
	seen := make(map[digest]bool, len(entries))
	var text strings.Builder
	end := int64(0)
	for i, e := range entries {
		d := digestOf(e.Key)
		if seen[d] || micros(e.Until) <= u.forgotten || u.has(d) {
			continue
		}
		fresh[i], digests[i], seen[d] = true, d, true
		text.WriteString(e.Key)
		text.WriteByte(' ')
		text.WriteString(strconv.FormatInt(micros(e.Until), 10))
		text.WriteByte('\n')
		end = max(end, micros(e.Until))
	}
	if text.Len() == 0 {
		return fresh, nil
	}
	u.current = false
	err := db.write(ctx, "insert", func(ctx context.Context, t tx) error {
		_, err := t.exec(ctx, `INSERT INTO once_batches (id, entries, until_at) VALUES ($1, $2, $3)`, u.last+1, text.String(), end)
		return err
	})
	if err != nil {
		return nil, err
	}
	u.last, u.current = u.last+1, true
	for i, e := range entries {
		if fresh[i] {
			u.add(digests[i], micros(e.Until))
		}
	}
	return fresh, nil
}

func (u *usedOnce) has(d digest) bool {
	for _, slot := range u.slots {
		if _, ok := slot[d]; ok {
			return true
		}
	}
	return false
}

func (u *usedOnce) add(d digest, until int64) {
	slot := u.slots[until/slotLength]
	if slot == nil {
		slot = map[digest]struct{}{}
		if u.slots == nil {
			u.slots = map[int64]map[digest]struct{}{}
		}
		u.slots[until/slotLength] = slot
	}
	slot[d] = struct{}{}
}

// forget drops what ended before now, whole minutes at a time. After a start it also reads what
// there is, before somebody waits for it.
func (u *usedOnce) forget(ctx context.Context, db *DB, now time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.catchUp(ctx, db); err != nil {
		return err
	}
	for minute := range u.slots {
		if minute < micros(now)/slotLength {
			delete(u.slots, minute)
			u.forgotten = max(u.forgotten, (minute+1)*slotLength-1)
		}
	}
	return nil
}

// catchUp reads the rows that are not in memory.
func (u *usedOnce) catchUp(ctx context.Context, db *DB) error {
	if u.current {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	err := db.readAll(ctx, func(ctx context.Context, t tx) error {
		var forgotten int64
		if err := t.row(ctx, `SELECT value FROM counters WHERE name = '`+onceForgotten+`'`).Scan(&forgotten); err != nil {
			return err
		}
		u.forgotten = max(u.forgotten, forgotten)
		_, err := list(ctx, t, u.scan, `SELECT id, entries FROM once_batches WHERE id > $1 ORDER BY id`, u.last)
		return err
	})
	if err != nil {
		return fmt.Errorf("read what was used once: %w", err)
	}
	u.current = true
	return nil
}

// scan takes a row into memory. It collects nothing.
func (u *usedOnce) scan(row scanner) (none struct{}, err error) {
	var id int64
	var entries string
	if err := row.Scan(&id, &entries); err != nil {
		return none, err
	}
	for line := range strings.Lines(entries) {
		key, end, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		until, err := strconv.ParseInt(end, 10, 64)
		if err != nil {
			// What cannot be read must not count as never used.
			return none, fmt.Errorf("row %d of once_batches is damaged", id)
		}
		u.add(digestOf(key), until)
	}
	u.last = id
	return none, nil
}
