package jose

import "strings"

// maxFileName is the longest name of a file on the usual file systems, in bytes (limits.h, NAME_MAX).
const maxFileName = 255

// LooksLikeToken reports whether text, which is expected to name a file, may be a token instead. Then it must not be
// repeated in an error, since errors are logged. It is wide: an error without a name does less harm than one with a token.
func LooksLikeToken(text string) bool {
	if strings.HasPrefix(strings.TrimSpace(text), "eyJ") || len(text) > maxFileName || strings.ContainsAny(text, "\r\n") {
		return true
	}
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return len(parts) == 3
}
