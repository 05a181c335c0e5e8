package directory

import (
	"slices"
	"time"
)

// shortLived is the lifetime up to which a credential is not reported before it ends: whoever makes such credentials
// replaces them in time, and all would be reported all the time.
const shortLived = 24 * time.Hour

// Ending returns the credentials that are good now and end within that time, the first to end first. Those that another
// credential replaces are left out, and so are those that were made for less than a day, and those of KindWorkload, which
// hold no secret.
func (s *Snapshot) Ending(now time.Time, within time.Duration) (ending []*Credential) {
	replaced := map[string]bool{}
	for _, c := range s.credentials.All() {
		switch {
		case c.Good(now) != "" || c.Kind == KindWorkload:
		case c.Replaces != "":
			replaced[c.Replaces] = true
			fallthrough
		default:
			if c.Life >= shortLived && c.ExpiresAt.Sub(now) <= within {
				ending = append(ending, c)
			}
		}
	}
	ending = slices.DeleteFunc(ending, func(c *Credential) bool { return replaced[c.ID] })
	slices.SortFunc(ending, func(a, b *Credential) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	return ending
}
