package issuer

import "encoding/json"

// ClaimsOf are the claims of the token that a rehearsal came to.
func ClaimsOf(r Rehearsed) map[string]any {
	c := map[string]any{}
	if err := json.Unmarshal(r.token, &c); err != nil {
		panic(err)
	}
	return c
}
