package supertokens

import "context"

// What the tests, which are in another package because the store imports this one, see of the
// inside.

const LookAgain = lookAgain

func (d *Interface) Prune(ctx context.Context) error { return d.prune(ctx) }

// Use reads the keys of app as a request does.
func (d *Interface) Use(ctx context.Context, app string) error {
	_, err := d.rings[app].keys(ctx)
	return err
}

// MemberNames are the names of the object in data, in their order.
func MemberNames(data []byte) ([]string, error) {
	members, err := parseObject(data)
	var names []string
	for _, m := range members {
		names = append(names, m.name)
	}
	return names, err
}
