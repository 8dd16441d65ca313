package reconcile

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

func TestGuestSentence(t *testing.T) {
	base := domain.VM{ID: "vm_1", Name: "web-1", LastState: domain.VMRunning}
	with := func(change func(*domain.VM)) domain.VM {
		v := base
		change(&v)
		return v
	}
	for _, c := range []struct {
		old, new domain.VM
		want     string
	}{
		{domain.VM{}, base, "web-1 was found on its host."},
		{base, with(func(v *domain.VM) { v.Name = "web-2" }), "web-1 was renamed to web-2."},
		{base, with(func(v *domain.VM) { v.LastState, v.Reason = domain.VMStopped, "shut down by the guest" }), "web-1 was shut down by the guest."},
		{base, with(func(v *domain.VM) { v.LastState = domain.VMStopped }), "web-1 was stopped."},
		{base, with(func(v *domain.VM) { v.LastState, v.Reason = domain.VMPaused, "I/O error." }), "web-1 was paused (I/O error)."},
		{base, with(func(v *domain.VM) { v.LastState = domain.VMSaved }), "web-1 was saved."},
		{base, with(func(v *domain.VM) { v.LastState, v.Reason = domain.VMCrashed, "QEMU died" }), "web-1 crashed (QEMU died)."},
		{with(func(v *domain.VM) { v.LastState = domain.VMPaused }), base, "web-1 was resumed."},
		{with(func(v *domain.VM) { v.LastState = domain.VMSaved }), base, "web-1 was restored."},
		{with(func(v *domain.VM) { v.LastState = domain.VMStopped }), base, "web-1 was started."},
		{base, with(func(v *domain.VM) { v.LastState = "odd" }), "web-1 is odd."},
		{base, with(func(v *domain.VM) { v.Autostart = true }), "web-1 now starts with its host."},
		{with(func(v *domain.VM) { v.Autostart = true }), base, "web-1 no longer starts with its host."},
		{base, with(func(v *domain.VM) { v.Reason = "migrated" }), "web-1 is running: migrated."},
		{base, with(func(v *domain.VM) { v.Pending = []domain.Change{{Field: "vcpus"}} }), "The settings of web-1 changed; some apply after a restart."},
		{base, with(func(v *domain.VM) { v.Version = 2 }), "The settings of web-1 changed."},
	} {
		if got := guestSentence(c.old, c.new); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestShapeIgnoresWhatMovesByItself(t *testing.T) {
	inv := domain.Inventory{
		Pools:    []domain.Pool{{Name: "default", AvailableBytes: 5}, {Name: "b"}},
		Volumes:  []domain.Volume{{Name: "x", AllocationBytes: 5}},
		Networks: []domain.Network{{Name: "n"}},
		Devices:  []domain.Device{{Name: "d"}},
	}
	moved := domain.Inventory{
		Pools:    []domain.Pool{{Name: "b", HostID: "host_1"}, {Name: "default", AvailableBytes: 4, AllocationBytes: 1}},
		Volumes:  []domain.Volume{{Name: "x", AllocationBytes: 6}},
		Networks: inv.Networks,
		Devices:  inv.Devices,
	}
	if shapeOf(inv) != shapeOf(moved) {
		t.Error("an allocation or the order of a listing is taken for a change")
	}
	moved.Volumes = nil
	if shapeOf(inv) == shapeOf(moved) {
		t.Error("a volume that is gone is not seen")
	}
}

func TestReportTellsWhatNobodyElseDoes(t *testing.T) {
	var out strings.Builder
	r := &Reconciler{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))}
	ctx, cancel := context.WithCancel(t.Context())
	r.report(ctx, "h", "states", nil)
	r.report(ctx, "h", "states", domain.Errorf(domain.Unavailable, "It does not answer."))
	r.report(ctx, "h", "states", domain.Errorf(domain.NotFound, "It was removed."))
	cancel()
	r.report(ctx, "h", "states", context.Canceled)
	if out.Len() > 0 {
		t.Errorf("logged %s", out.String())
	}
	r.report(t.Context(), "h", "states", domain.Errorf(domain.Internal, "Odd.").WithCause(context.DeadlineExceeded))
	if s := out.String(); !strings.Contains(s, "Odd.: context deadline exceeded") || !strings.Contains(s, "host=h") {
		t.Errorf("logged %s", s)
	}
}

func TestOptionsHaveDefaults(t *testing.T) {
	r := New(nil, nil, time.Now, Options{States: time.Second})
	if r.opt.States != time.Second || r.opt.Full != 10*time.Minute || r.opt.Retention == 0 {
		t.Errorf("%+v", r.opt)
	}
}
