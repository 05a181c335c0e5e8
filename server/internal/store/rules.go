package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

const ruleColumns = `caller, target, scopes, exchange, may_act, conditions, managed_by, until_at, version, created_at, updated_at`

// ruleScanner reads rows of rules, of which there may be a million: what it reads into is used
// again for the next one, and rules of the same scopes share a list.
type ruleScanner struct {
	seen                                                            map[string][]string
	caller, target, scopes, exchange, mayAct, conditions, managedBy string
	until, version, created, updated                                int64
}

func (s *ruleScanner) scan(row scanner) (r directory.Rule, err error) {
	if err := row.Scan(&s.caller, &s.target, &s.scopes, &s.exchange, &s.mayAct, &s.conditions, &s.managedBy,
		&s.until, &s.version, &s.created, &s.updated); err != nil {
		return directory.Rule{}, err
	}
	r.Scopes, r.Exchange, r.ManagedBy = s.list(), policy.Exchange(s.exchange), s.managedBy
	r.Until, r.Version, r.CreatedAt, r.UpdatedAt = moment(s.until), s.version, moment(s.created), moment(s.updated)
	if s.mayAct != "" {
		if r.MayAct, err = directory.ParseUID(s.mayAct); err != nil {
			return directory.Rule{}, err
		}
	}
	if r.When, err = directory.ParseWhen(s.conditions); err != nil {
		return directory.Rule{}, err
	}
	if r.Caller, err = directory.ParseUID(s.caller); err != nil {
		return directory.Rule{}, err
	}
	r.Target, err = directory.ParseUID(s.target)
	return r, err
}

// list is the scopes of the row.
func (s *ruleScanner) list() []string {
	if s.scopes == "" {
		return nil
	}
	all, ok := s.seen[s.scopes]
	if !ok {
		if s.seen == nil {
			s.seen = map[string][]string{}
		}
		all = strings.Split(s.scopes, " ")
		s.seen[s.scopes] = all
	}
	return all
}

func formatEdge(e policy.Edge) (caller, target string) {
	return directory.FormatUID(e.Caller), directory.FormatUID(e.Target)
}

// ReadRule answers directory.ErrNotFound when there is no rule for e.
func (db *DB) ReadRule(ctx context.Context, e policy.Edge) (r directory.Rule, err error) {
	caller, target := formatEdge(e)
	return readOne(ctx, db, "read rule "+caller+" -> "+target, new(ruleScanner).scan, `SELECT `+ruleColumns+` FROM rules WHERE caller = $1 AND target = $2`, caller, target)
}

// ListRules lists the rules of a caller, for a target, or with the zero UID of and for any,
// by caller and then target: those after the edge given, at most limit.
func (db *DB) ListRules(ctx context.Context, caller, target directory.UID, after policy.Edge, limit int) (all []directory.Rule, err error) {
	afterCaller, afterTarget := formatEdge(after)
	query, args := `SELECT `+ruleColumns+` FROM rules WHERE (caller, target) > ($1, $2)`, []any{afterCaller, afterTarget, max(limit, 0)}
	for _, filter := range []struct {
		column string
		uid    directory.UID
	}{{"caller", caller}, {"target", target}} {
		if filter.uid != (directory.UID{}) {
			args = append(args, directory.FormatUID(filter.uid))
			query += ` AND ` + filter.column + ` = $` + strconv.Itoa(len(args))
		}
	}
	return readList(ctx, db, "list rules", new(ruleScanner).scan, query+` ORDER BY caller, target LIMIT $3`, args...)
}

// PutRule inserts (Version 0) or updates (Version as stored) a rule.
func (db *DB) PutRule(ctx context.Context, r directory.Rule, c directory.Change) (int64, error) {
	caller, target := formatEdge(r.Edge)
	return db.change(ctx, c, "put rule "+caller+" -> "+target, func(ctx context.Context, t tx) error {
		if r.Version == 0 {
			if err := t.mustHave(ctx, r.Caller, r.Target); err != nil {
				return err
			}
		}
		return t.putRule(ctx, r)
	})
}

// termsOf are the values of the columns scopes, exchange, may_act, conditions and until_at.
func termsOf(r directory.Rule) []any {
	mayAct := ""
	if r.MayAct != (directory.UID{}) {
		mayAct = directory.FormatUID(r.MayAct)
	}
	return []any{strings.Join(r.Scopes, " "), string(r.Exchange), mayAct, directory.FormatWhen(r.When), micros(r.Until)}
}

func (t tx) putRule(ctx context.Context, r directory.Rule) error {
	caller, target := formatEdge(r.Edge)
	if r.Version != 0 {
		n, err := t.exec(ctx, `
			UPDATE rules SET managed_by = $4, updated_at = $5, scopes = $6, exchange = $7, may_act = $8, conditions = $9, until_at = $10, version = version + 1
			WHERE caller = $1 AND target = $2 AND version = $3`,
			append([]any{caller, target, r.Version, r.ManagedBy, micros(r.UpdatedAt)}, termsOf(r)...)...)
		return t.orWhy(ctx, n, err, `SELECT COUNT(*) FROM rules WHERE caller = $1 AND target = $2`, caller, target)
	}
	n, err := t.exec(ctx, `
		INSERT INTO rules (caller, target, managed_by, created_at, updated_at, scopes, exchange, may_act, conditions, until_at, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1) ON CONFLICT DO NOTHING`,
		append([]any{caller, target, r.ManagedBy, micros(r.CreatedAt), micros(r.UpdatedAt)}, termsOf(r)...)...)
	return orElse(n, err, directory.ErrConflict)
}

// DeleteRule removes the rule for e.
func (db *DB) DeleteRule(ctx context.Context, e policy.Edge, version int64, c directory.Change) (int64, error) {
	caller, target := formatEdge(e)
	return db.change(ctx, c, "delete rule "+caller+" -> "+target, func(ctx context.Context, t tx) error { return t.deleteRule(ctx, e, version) })
}

func (t tx) deleteRule(ctx context.Context, e policy.Edge, version int64) error {
	caller, target := formatEdge(e)
	n, err := t.exec(ctx, `DELETE FROM rules WHERE caller = $1 AND target = $2 AND version = $3`, caller, target, version)
	return t.orWhy(ctx, n, err, `SELECT COUNT(*) FROM rules WHERE caller = $1 AND target = $2`, caller, target)
}

// mustHave is directory.ErrNotFound when one of the services is not there. Within a change nobody
// else can delete it afterwards.
func (t tx) mustHave(ctx context.Context, uids ...directory.UID) error {
	for _, uid := range uids {
		var there int64
		if err := t.row(ctx, `SELECT COUNT(*) FROM services WHERE uid = $1`, directory.FormatUID(uid)).Scan(&there); err != nil {
			return err
		}
		if there == 0 {
			return fmt.Errorf("service %s: %w", directory.FormatUID(uid), directory.ErrNotFound)
		}
	}
	return nil
}
