package revocation

import "time"

// Edition is what p has in force; another one is another value.
func Edition(p *Publisher) any { return p.edition.Load() }

// Find reads the path of a status list.
func Find(p *Publisher, path string) (deps []string, list string, ok bool) {
	return p.places.find(path)
}

// EncodeList makes the lst in which these are revoked.
func EncodeList(places []int) string { return encodeList(false, places) }

// ParseWait reads a query.
func ParseWait(query string) (time.Duration, error) { return parseWait(query) }
