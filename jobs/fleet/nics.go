package fleet

import (
	"context"
	"slices"
	"strings"

	"novacron/domain"
)

// AttachNIC gives a VM one more network card, while it runs where it can.
func (f *Fleet) AttachNIC(ctx context.Context, actor, vmID string, n domain.NIC, key string) (domain.Job, error) {
	job, err := f.changeCards(ctx, actor, vmID, "Attach a network card to ", domain.VMChange{AddNICs: []domain.NIC{n}}, key)
	return job, fieldsOf(err, "add_nics.0.")
}

// ChangeNIC changes one card of a VM, while it runs where it can.
func (f *Fleet) ChangeNIC(ctx context.Context, actor, vmID string, c domain.NICChange, key string) (domain.Job, error) {
	if c.Empty() {
		return domain.Job{}, domain.Errorf(domain.Invalid, "Nothing was changed.").WithFix("Change something, or close the form.")
	}
	if err := f.hasCard(ctx, vmID, c.MAC); err != nil {
		return domain.Job{}, err
	}
	job, err := f.changeCards(ctx, actor, vmID, "Change a network card of ", domain.VMChange{ChangeNICs: []domain.NICChange{c}}, key)
	return job, fieldsOf(err, "change_nics.0.")
}

// DetachNIC takes a card away from a VM, while it runs where it can.
func (f *Fleet) DetachNIC(ctx context.Context, actor, vmID, mac, key string) (domain.Job, error) {
	if err := f.hasCard(ctx, vmID, mac); err != nil {
		return domain.Job{}, err
	}
	return f.changeCards(ctx, actor, vmID, "Detach a network card from ", domain.VMChange{RemoveNICs: []string{mac}}, key)
}

func (f *Fleet) hasCard(ctx context.Context, vmID, mac string) error {
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(vm.Config.NICs, func(n domain.NIC) bool { return strings.EqualFold(n.MAC, mac) }) {
		return domain.Errorf(domain.NotFound, "%s has no network card with the address %s.", vm.Name, mac).WithFix("Load its cards again.")
	}
	return nil
}

func (f *Fleet) changeCards(ctx context.Context, actor, vmID, title string, c domain.VMChange, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActEdit)
	if err != nil {
		return domain.Job{}, err
	}
	return f.change(ctx, actor, vm, 0, c, title+vm.Name, key)
}

// fieldsOf names fields as a request about one card has them.
func fieldsOf(err error, prefix string) error {
	if e, ok := err.(*domain.Error); ok && e != nil {
		for i := range e.Fields {
			e.Fields[i].Field = strings.TrimPrefix(e.Fields[i].Field, prefix)
		}
	}
	return err
}
