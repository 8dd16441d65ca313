package jobs

import (
	"context"
	"slices"
)

// WaitChild waits until one of the children has ended, for a step that keeps only so many at work at a time. Meanwhile this job uses no worker and its step
// no time.
func (r *Run) WaitChild(ctx context.Context, ids []string) error {
	return r.Idle(ctx, func(ctx context.Context) error {
		watch, forget := r.e.watchChildren(r.id)
		defer forget()
		children, err := r.e.d.Children(ctx, r.id) // after registering, so that no end is missed
		if err != nil {
			return err
		}
		for _, c := range children {
			if slices.Contains(ids, c.ID) && c.State.Ended() {
				return nil
			}
		}
		select {
		case <-watch.some:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}
