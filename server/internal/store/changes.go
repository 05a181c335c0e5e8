package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// change does work and records c with the next revision, in one transaction. what was attempted begins the text of an
// error.
func (db *DB) change(ctx context.Context, c directory.Change, what string, work func(context.Context, tx) error) (revision int64, err error) {
	err = db.write(ctx, what, db.recorded(c, func(ctx context.Context, t tx, next int64) error {
		revision = next
		return work(ctx, t)
	}))
	if err != nil {
		return 0, err
	}
	return revision, nil
}

// changeTimeout: a million rules take longer to write than one change may, and longer than to read. The
// operator's API gives such a request as long.
const changeTimeout = 5 * time.Minute

// changeMany is change for work that returns the subjects of all that it touched, of which there may be very many. They
// are stored if c is SubjectMany.
func (db *DB) changeMany(ctx context.Context, c directory.Change, what string, work func(ctx context.Context, t tx, revision int64) (subjects []string, err error)) (revision int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	err = db.run(ctx, db.writer, sql.TxOptions{Isolation: sql.LevelReadCommitted}, db.recorded(c, func(ctx context.Context, t tx, next int64) error {
		revision = next
		subjects, err := work(ctx, t, next)
		if err != nil || c.Subject != directory.SubjectMany {
			return err
		}
		return t.insertSubjects(ctx, next, subjects)
	}))
	if err != nil {
		return 0, attempted(what, err)
	}
	return revision, nil
}

// recorded is a transaction that does work and records c with the next revision.
func (db *DB) recorded(c directory.Change, work func(ctx context.Context, t tx, revision int64) error) func(context.Context, tx) error {
	return func(ctx context.Context, t tx) error {
		detail := []byte("{}")
		if len(c.Detail) > 0 {
			var err error
			if detail, err = json.Marshal(c.Detail); err != nil {
				return err
			}
		}
		// First of all: the row stays locked until the commit, so changes come one after the
		// other, in the order of their revisions, and what work reads nobody else is changing.
		var revision int64
		if err := t.row(ctx, `UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value`).Scan(&revision); err != nil {
			return err
		}
		if c.Once != nil {
			if err := t.once(ctx, c, revision); err != nil {
				return err
			}
		}
		subject := c.Subject
		if c.Keys != nil {
			var err error
			if subject, err = t.addKeys(ctx, c, revision); err != nil {
				return err
			}
		}
		if err := work(ctx, t, revision); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `
			INSERT INTO changes (revision, at, actor, request_id, action, subject, detail)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			revision, micros(c.At), c.Actor, c.RequestID, c.Action, subject, string(detail)); err != nil {
			return err
		}
		if db.engine == postgresEngine {
			_, err := t.exec(ctx, `SELECT pg_notify($1, $2)`, channel, strconv.FormatInt(revision, 10))
			return err
		}
		return nil
	}
}

// ChangesAfter lists the changes after revision, oldest first, at most limit.
func (db *DB) ChangesAfter(ctx context.Context, revision int64, limit int) (changes []directory.Change, err error) {
	return readList(ctx, db, "read changes", scanChange, `
			SELECT revision, at, actor, request_id, action, subject, detail FROM changes
			WHERE revision > $1 ORDER BY revision LIMIT $2`, revision, max(limit, 0))
}

func scanChange(row scanner) (c directory.Change, err error) {
	var at int64
	var detail string
	if err := row.Scan(&c.Revision, &at, &c.Actor, &c.RequestID, &c.Action, &c.Subject, &detail); err != nil {
		return c, err
	}
	c.At = moment(at)
	if err := json.Unmarshal([]byte(detail), &c.Detail); err != nil {
		return c, fmt.Errorf("detail of change %d: %w", c.Revision, err)
	}
	return c, nil
}

func revisionOf(ctx context.Context, t tx) (revision int64, err error) {
	err = t.row(ctx, `SELECT value FROM counters WHERE name = 'revision'`).Scan(&revision)
	return revision, err
}
