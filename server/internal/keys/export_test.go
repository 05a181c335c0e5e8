package keys

import "context"

// StepOnce is one turn of Run's loop.
func (r *Ring) StepOnce(ctx context.Context) error { return r.step(ctx) }
