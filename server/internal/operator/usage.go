package operator

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// UsageWindow is which records an answer was made from. Since: the first day of which there are any; nil:
// there are none at all.
type UsageWindow struct {
	Days  int        `json:"days"`
	From  time.Time  `json:"from"`
	To    time.Time  `json:"to"`
	Since *time.Time `json:"since"`
}

// CallMapReplay is what recorded decisions say of a plan: of the tokens that were looked at, how many
// would have been refused, by caller and target and in words; which declared rules nobody used; what
// could not be replayed.
type CallMapReplay struct {
	UsageWindow
	Looked      int64         `json:"looked"`
	Refused     int64         `json:"refused"`
	Edges       []RefusedEdge `json:"edges"`
	Sentences   []string      `json:"sentences"`
	Unused      []UnusedRule  `json:"unused"` // at most 1,000 of UnusedRules
	UnusedRules int           `json:"unusedRules"`
	Notes       []string      `json:"notes"`
}

// RefusedEdge is what would have been refused of one caller and target.
type RefusedEdge struct {
	Caller string    `json:"caller"`
	Target string    `json:"target"`
	Tokens int64     `json:"tokens"`
	Reason string    `json:"reason"`
	Text   string    `json:"text"`
	Scopes []string  `json:"scopes"`
	Last   time.Time `json:"last"`
}

// UnusedRule is a rule that nobody used.
type UnusedRule struct {
	Caller    string    `json:"caller"`
	Target    string    `json:"target"`
	CreatedAt time.Time `json:"createdAt"`
}

// CallMapShadow is the overlay that was set: how many edges are decided beside the call map, and what
// of the files it cannot show.
type CallMapShadow struct {
	Revision int64    `json:"revision"`
	Rules    int      `json:"rules"`
	LeftOut  []string `json:"leftOut"`
}

// ShadowReport is what would have come out otherwise.
type ShadowReport struct {
	UsageWindow
	Rules int         `json:"rules"`
	Edges []Otherwise `json:"edges"`
}

// Otherwise is what would have come out otherwise of one caller and target. By is shadow or observe,
// Outcome refused, allowed or fewer_scopes.
type Otherwise struct {
	Caller  string    `json:"caller"`
	Target  string    `json:"target"`
	By      string    `json:"by"`
	Outcome string    `json:"outcome"`
	Tokens  int64     `json:"tokens"`
	Reason  string    `json:"reason"`
	Scopes  []string  `json:"scopes"`
	Last    time.Time `json:"last"`
}

// PutShadow has files decided beside the call map.
func (c *Client) PutShadow(ctx context.Context, files []CallMapFile) (a Answer[CallMapShadow], err error) {
	body := map[string]any{"files": files}
	_, err = c.do(ctx, request{method: http.MethodPut, path: []string{"callmap", "shadow"}, body: body, large: true}, &a)
	return a, err
}

// DeleteShadow ends that.
func (c *Client) DeleteShadow(ctx context.Context) (a Answer[CallMapShadow], err error) {
	_, err = c.do(ctx, request{method: http.MethodDelete, path: []string{"callmap", "shadow"}, large: true}, &a)
	return a, err
}

// ShadowReport says what would have come out otherwise in so many days.
func (c *Client) ShadowReport(ctx context.Context, days int) (a Answer[ShadowReport], err error) {
	query := url.Values{"days": {strconv.Itoa(days)}}
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"callmap", "shadow", "report"}, query: query, large: true}, &a)
	return a, err
}
