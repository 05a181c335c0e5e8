package supertokens

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// versions of the core driver interface (CDI) that are answered, oldest first. The SDKs
// refuse to work with a core that does not list theirs.
var versions = []string{
	"2.7", "2.8", "2.9", "2.10", "2.11", "2.12", "2.13", "2.14", "2.15", "2.16", "2.17", "2.18", "2.19", "2.20", "2.21",
	"3.0", "3.1", "4.0", "5.0", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6",
}

var versionSyntax = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

// version of the interface a request is written in.
type version string

// requestedVersion reads the header cdi-version. Without it the latest is meant.
func requestedVersion(h http.Header) (version, *reply) {
	latest := version(versions[len(versions)-1])
	sent, ok := h["Cdi-Version"]
	if !ok {
		return latest, nil
	}
	v := version(sent[0])
	if !versionSyntax.MatchString(sent[0]) {
		return "", text(http.StatusBadRequest, "cdi-version header is invalid")
	}
	if !latest.atLeast(v) {
		return "", v.unsupported()
	}
	return v, nil
}

// known compares as text: 4.0.0 is not 4.0.
func (v version) known() bool { return slices.Contains(versions, string(v)) }

func (v version) unsupported() *reply {
	return text(http.StatusBadRequest, "cdi-version "+string(v)+" not supported")
}

// atLeast compares the numbers from the left; one that is missing is zero. A number too large
// for an int counts as the largest.
func (v version) atLeast(w version) bool {
	a, b := strings.Split(string(v), "."), strings.Split(string(w), ".")
	for i := range max(len(a), len(b)) {
		x, y := number(a, i), number(b, i)
		if x != y {
			return x > y
		}
	}
	return true
}

func number(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.Atoi(parts[i]) // out of range: the largest int
	return n
}
