package admin

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Page is the part of a list request that asks for a page.
type Page struct {
	Limit     int    `query:"limit" default:"100" minimum:"1" maximum:"1000" example:"100" doc:"The maximum number of entries to return."`
	PageToken string `query:"pageToken" maxLength:"1024" doc:"The nextPageToken of the previous page. It is valid for the same list and the same filters only, on any replica."`
}

// pager makes and reads page tokens. A token carries a position in a list and a MAC over
// that position, the list and its filters: what comes back is what was given out.
type pager struct{ key []byte }

const macSize = 16

func (p pager) mac(list string, filters []string, position []byte) []byte {
	h := hmac.New(sha256.New, p.key)
	part := func(b []byte) { // length first, so that no two lists of parts are the same bytes
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	part([]byte(list))
	part(position)
	for _, f := range filters {
		part([]byte(f))
	}
	return h.Sum(nil)[:macSize]
}

// token of the page behind position.
func (p pager) token(list string, filters []string, position []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(p.mac(list, filters, position), position...))
}

// position in a token this pager made for the same list and filters; empty for no token.
func (p pager) position(list string, filters []string, token string) ([]byte, error) {
	if token == "" {
		return nil, nil
	}
	// Go's base64 decoders skip CR and LF, even strict ones.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || strings.ContainsAny(token, "\r\n") || len(raw) <= macSize {
		return nil, errPageToken
	}
	position := raw[macSize:]
	if !hmac.Equal(raw[:macSize], p.mac(list, filters, position)) {
		return nil, errPageToken
	}
	return position, nil
}

// listing is a list that is answered in pages: its name, the filters of the request, how it is read from the store behind a
// position, and what is shown of a row, if anything.
type listing[Row, View any] struct {
	name     string
	filters  []string
	read     func(after []byte, limit int) ([]Row, error)
	position func(Row) []byte
	view     func(*directory.Snapshot, Row) (View, bool)
}

// page returns what is shown of the rows of a page, and the token of the next page, which is empty when there is none.
// One row more than the page has is read, to know whether there is one.
func (l listing[Row, View]) page(ctx context.Context, a *handlers, p Page) (views []View, next string, err error) {
	after, err := a.pages.position(l.name, l.filters, p.PageToken)
	if err != nil {
		return nil, "", err
	}
	rows, err := l.read(after, p.Limit+1)
	if err != nil {
		return nil, "", err
	}
	if len(rows) > p.Limit {
		rows = rows[:p.Limit]
		next = a.pages.token(l.name, l.filters, l.position(rows[p.Limit-1]))
	}
	views, err = named(ctx, a, rows, l.view)
	return views, next, err
}
