package operator

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// CallMapFile is one file of a call map.
type CallMapFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// CallMapPlan is what would change.
type CallMapPlan struct {
	Base    int64         `json:"base"`
	Empty   bool          `json:"empty"`
	Summary string        `json:"summary"`
	Changes []PlanChange  `json:"changes"`
	Ended   []string      `json:"ended"`
	Tests   []CallMapTest `json:"tests"`
	Failed  int           `json:"failed"`
	// Replay is nil when it was not asked for.
	Replay *CallMapReplay `json:"replay"`
}

// PlanChange is one line of a plan. What is a service, or caller -> target.
type PlanChange struct {
	Op   string `json:"op"`
	Kind string `json:"kind"`
	What string `json:"what"`
	Text string `json:"text"`
}

// CallMapTest is what came out of a test.
type CallMapTest struct {
	File   string   `json:"file"`
	Line   int      `json:"line"`
	From   string   `json:"from"`
	To     string   `json:"to"`
	Scopes []string `json:"scopes,omitempty"`
	Expect string   `json:"expect"`
	Got    string   `json:"got"`
	Reason string   `json:"reason"`
}

// ApplyCallMap is what is applied, on which revision, by whom and why.
type ApplyCallMap struct {
	Files  []CallMapFile `json:"files"`
	Base   int64         `json:"base,omitempty"`
	Reason string        `json:"reason,omitempty"`
	Author string        `json:"author,omitempty"`
}

// AppliedCallMap is a call map file that was applied.
type AppliedCallMap struct {
	Revision  int64     `json:"revision"`
	At        time.Time `json:"at"`
	Author    string    `json:"author"`
	Reason    string    `json:"reason"`
	ManagedBy string    `json:"managedBy"`
	Summary   string    `json:"summary"`
}

// CallMapDocument is a call map as files.
type CallMapDocument struct {
	Revision int64         `json:"revision"`
	Files    []CallMapFile `json:"files"`
}

// PlanCallMap says what would change if files were applied, and decides what was recorded in so many days
// again. 0 days: nothing.
func (c *Client) PlanCallMap(ctx context.Context, files []CallMapFile, replayDays int) (a Answer[CallMapPlan], err error) {
	body := map[string]any{"files": files, "replayDays": replayDays}
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"callmap", "plan"}, body: body, large: true}, &a)
	return a, err
}

// ApplyCallMap applies files.
func (c *Client) ApplyCallMap(ctx context.Context, what ApplyCallMap) (a Answer[AppliedCallMap], err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"callmap", "apply"}, body: what, large: true}, &a)
	return a, err
}

// ExportCallMap is what one owner has, or what is made by hand when owner is empty.
func (c *Client) ExportCallMap(ctx context.Context, owner string) (a Answer[CallMapDocument], err error) {
	query := url.Values{}
	if owner != "" {
		query.Set("managedBy", owner)
	}
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"callmap", "export"}, query: query, large: true}, &a)
	return a, err
}

// CallMapHistory lists what was applied before that revision, the newest first; 0: all.
func (c *Client) CallMapHistory(ctx context.Context, before int64, limit int) ([]Answer[AppliedCallMap], error) {
	query := url.Values{"before": {strconv.FormatInt(before, 10)}, "limit": {strconv.Itoa(limit)}}
	var all struct {
		Applied []Answer[AppliedCallMap] `json:"applied"`
	}
	_, err := c.do(ctx, request{method: http.MethodGet, path: []string{"callmap", "history"}, query: query}, &all)
	return all.Applied, err
}

// AppliedCallMap is what was applied in a revision.
func (c *Client) AppliedCallMap(ctx context.Context, revision int64) (a Answer[CallMapDocument], err error) {
	path := []string{"callmap", "history", strconv.FormatInt(revision, 10)}
	_, err = c.do(ctx, request{method: http.MethodGet, path: path, large: true}, &a)
	return a, err
}

// RollbackCallMap applies again what was applied in a revision.
func (c *Client) RollbackCallMap(ctx context.Context, revision int64, reason, author string) (a Answer[AppliedCallMap], err error) {
	path := []string{"callmap", "history", strconv.FormatInt(revision, 10), "rollback"}
	body := map[string]string{"reason": reason, "author": author}
	_, err = c.do(ctx, request{method: http.MethodPost, path: path, body: body, large: true}, &a)
	return a, err
}
