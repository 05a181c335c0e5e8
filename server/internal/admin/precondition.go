package admin

import (
	"strconv"
	"strings"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Conditions is the headers that make a change depend on what is there (RFC 9110, section 13).
type Conditions struct {
	IfMatch string `header:"If-Match" maxLength:"64" example:"\"3\"" doc:"Change only this version, which is the ETag of an earlier answer. The default is any version."`
}

// etag of a version.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// anyExisting is If-Match: *, which no version number stands for.
const anyExisting int64 = -2

// version that If-Match names: directory.AnyVersion without it.
func (c Conditions) version() (int64, error) {
	switch c.IfMatch {
	case "":
		return directory.AnyVersion, nil
	case "*":
		return anyExisting, nil
	}
	if strings.HasPrefix(c.IfMatch, "W/") {
		return 0, errPrecondition // RFC 9110, section 13.1.1: weak tags never match
	}
	digits, ok := strings.CutPrefix(c.IfMatch, `"`)
	digits, closed := strings.CutSuffix(digits, `"`)
	v, err := strconv.ParseInt(digits, 10, 64)
	if !ok || !closed || err != nil || v < 1 || etag(v) != c.IfMatch {
		return 0, errIfMatch
	}
	return v, nil
}
