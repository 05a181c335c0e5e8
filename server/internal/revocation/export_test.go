package revocation

import "time"

// Edition is what p has in force; another one is another value.
func Edition(p *Publisher) any { return p.edition.Load() }

// State names what p publishes.
func State(p *Publisher) string { return p.edition.Load().state }

// Find reads the path of a status list.
func Find(p *Publisher, path string) (deps []string, list string, ok bool) {
	return p.places.find(path)
}

// EncodeList makes the lst in which these are revoked.
func EncodeList(places []int) string { return encodeList(false, places) }

// ParseQuery reads a query and returns how long it waits.
func ParseQuery(query string) (time.Duration, error) { q, err := parseQuery(query); return q.wait, err }
