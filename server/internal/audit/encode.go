package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/redact"
)

// Limits that keep one line far below maxLine, whatever a caller puts into an event.
const (
	maxField  = 4096 // bytes of one string in the line; a longer one is cut and marked
	maxDetail = 32   // members of Event.Detail
	cutMark   = "...(cut)"
)

// link is a place in the chain: a record's sequence number and hash. The zero link is the
// place before the first record.
type link struct {
	seq  uint64
	hash [sha256.Size]byte
}

// appendRecord appends the line for e, the record after l, and returns its link.
//
// By hand, not by encoding/json: it runs for every token, under the log's mutex.
func (l link) appendRecord(b []byte, e *Event) ([]byte, link) {
	start := len(b)
	next := link{seq: l.seq + 1}
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, next.seq, 10)
	b = append(b, `,"time":"`...)
	b = appendTime(b, e.At)
	b = append(b, '"')
	b = appendEvent(b, e)
	b = append(b, `,"prev":"`...)
	b = hex.AppendEncode(b, l.hash[:])
	b = append(b, '"')
	next.hash = sha256.Sum256(b[start:])
	b = append(b, `,"hash":"`...)
	b = hex.AppendEncode(b, next.hash[:])
	return append(b, "\"}\n"...), next
}

func appendEvent(b []byte, e *Event) []byte {
	b = appendMember(b, `,"id":`, e.ID)
	b = appendMember(b, `,"kind":`, string(e.Kind))
	b = appendMember(b, `,"outcome":`, string(e.Outcome))
	b = appendMember(b, `,"reason":`, e.Reason)
	b = appendMember(b, `,"endpoint":`, e.Endpoint)
	b = appendMember(b, `,"requestId":`, e.RequestID)
	b = appendMember(b, `,"address":`, e.Address)
	b = appendMember(b, `,"caller":`, e.Caller)
	b = appendMember(b, `,"callerUid":`, e.CallerUID)
	b = appendMember(b, `,"target":`, e.Target)
	b = appendMember(b, `,"scope":`, e.Scope)
	if e.AnyScope {
		b = append(b, `,"anyScope":true`...)
	}
	b = appendMember(b, `,"credential":`, e.Credential)
	b = appendMember(b, `,"method":`, e.Method)
	b = appendMember(b, `,"grant":`, e.Grant)
	b = appendMember(b, `,"bound":`, e.Bound)
	b = appendMember(b, `,"onBehalfOf":`, e.OnBehalfOf)
	b = appendMember(b, `,"exchange":`, e.Exchange)
	b = appendMember(b, `,"wouldRefuse":`, e.WouldRefuse)
	b = appendMember(b, `,"shadow":`, e.Shadow)
	b = appendClaims(b, e.Claims)
	b = appendMember(b, `,"token":`, e.Token)
	b = appendMember(b, `,"keyId":`, e.KeyID)
	b = appendMember(b, `,"actor":`, e.Actor)
	b = appendMember(b, `,"action":`, e.Action)
	b = appendMember(b, `,"subject":`, e.Subject)
	if e.Revision != 0 {
		b = append(b, `,"revision":`...)
		b = strconv.AppendInt(b, e.Revision, 10)
	}
	return appendDetail(b, e.Kind, e.Detail)
}

func appendDetail(b []byte, kind Kind, detail map[string]string) []byte {
	if len(detail) == 0 {
		return b
	}
	names := make([]string, 0, len(detail))
	for name := range detail {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, `,"detail":{`...)
	for i, name := range names[:min(len(names), maxDetail)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, ':')
		if kind == KindCheckpoint && name == checkpointToken {
			b = appendRaw(b, detail[name]) // it looks like a token, and opens nothing
		} else {
			b = appendString(b, detail[name])
		}
	}
	return append(b, '}')
}

func appendClaims(b []byte, claims []api.ClaimFinding) []byte {
	if len(claims) == 0 {
		return b
	}
	b = append(b, `,"claims":[`...)
	for i, c := range claims[:min(len(claims), maxDetail)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"claim":`...), c.Claim)
		b = strconv.AppendBool(append(b, `,"met":`...), c.Met)
		b = appendMember(b, `,"seen":`, c.Seen)
		b = appendMember(b, `,"wanted":`, c.Wanted)
		b = appendMember(b, `,"hint":`, c.Hint)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, name...), value)
}

// plain reports of each byte whether it stands for itself in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf-1; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends s without any secret that somebody put there, as a client_id for example.
func appendString(b []byte, s string) []byte { return appendRaw(b, redact.Text(s)) }

func appendRaw(b []byte, s string) []byte {
	if len(s) > maxField {
		s = s[:maxField-len(cutMark)] + cutMark
	}
	b = append(b, '"')
	limit := len(b) + maxField - len(cutMark)
	for i := range len(s) {
		if !plain[s[i]] {
			b = append(b, s[:min(i, limit-len(b))]...)
			return append(appendEscaped(b, s[i:], limit), '"')
		}
	}
	b = append(b, s...)
	return append(b, '"')
}

// appendEscaped also escapes what is legal in JSON but does not print, such as U+2028, the
// C1 controls and bidirectional overrides: a line is safe to show on a terminal. What is
// not UTF-8 becomes U+FFFD. It cuts s when b would become longer than limit.
func appendEscaped(b []byte, s string, limit int) []byte {
	for _, r := range s {
		if len(b) > limit-len(`\ud800\udc00`) {
			return append(b, cutMark...)
		}
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r < 0x10000:
			b = appendUnit(b, uint16(r))
		default:
			high, low := utf16.EncodeRune(r)
			b = appendUnit(appendUnit(b, uint16(high)), uint16(low))
		}
	}
	return b
}

func appendUnit(b []byte, u uint16) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[u>>12], digits[u>>8&15], digits[u>>4&15], digits[u&15])
}

// appendTime appends t as RFC 3339 in UTC with exactly six decimals. A moment RFC 3339 has
// no digits for becomes the nearest it has.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	switch year := t.Year(); {
	case year < 0:
		t = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	case year > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	}
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/1000, 6)
	return append(b, 'Z')
}

func appendDigits(b []byte, n, width int) []byte {
	b = append(b, "000000"[:width]...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}
