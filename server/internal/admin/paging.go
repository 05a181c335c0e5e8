package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// Page is the part of a list request that asks for a page.
type Page struct {
	Limit     int    `query:"limit" default:"100" minimum:"1" maximum:"1000" example:"100" doc:"How many to return at most."`
	PageToken string `query:"pageToken" maxLength:"1024" doc:"The nextPageToken of the page before, to continue the same list. It is good for the same list and the same filters only, on any replica."`
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

// cut shortens rows, of which one more than the page holds was asked for, to the page, and
// makes the token of the next one, empty when there is none.
func cut[Row any](a *handlers, rows []Row, limit int, list string, filters []string, position func(Row) []byte) ([]Row, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	rows = rows[:limit]
	return rows, a.pages.token(list, filters, position(rows[limit-1]))
}
