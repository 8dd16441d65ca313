package alerts

import (
	"context"
	"slices"
	"strings"
	"time"

	"novacron/db"
	"novacron/domain"
)

// PutRota makes (version 0) or changes a rota. What stood in before stays, unless it is over for a year.
func (k *Desk) PutRota(ctx context.Context, actor string, r domain.Rota) (domain.Rota, error) {
	now := k.clock().UTC()
	kind, word := "rota.changed", "was changed"
	if r.Name, r.HandOver = strings.TrimSpace(r.Name), strings.TrimSpace(r.HandOver); r.Version == 0 {
		kind, word = "rota.created", "was made"
		r.ID, r.CreatedAt = domain.NewID("rota", now), now
	}
	for i := range r.Overrides {
		if o := &r.Overrides[i]; o.ID == "" {
			o.ID, o.By = domain.NewID("ovr", now), actor
			o.From, o.To, o.Note = o.From.UTC(), o.To.UTC(), strings.TrimSpace(o.Note)
		}
	}
	r.Overrides = slices.DeleteFunc(slices.Clone(r.Overrides), func(o domain.RotaOverride) bool { return now.Sub(o.To) > 366*24*time.Hour })
	if err := r.Check(); err != nil {
		return r, err
	}
	err := k.db.Write(ctx, func(tx *db.Tx) error {
		have, err := tx.Receivers()
		if err != nil {
			return err
		}
		known := func(id string) bool {
			return id == "" || slices.ContainsFunc(have, func(x domain.Receiver) bool { return x.ID == id })
		}
		for _, id := range r.Days {
			if !known(id) {
				return domain.InvalidField("days", "There is no receiver “"+id+"”.", "a receiver's id")
			}
		}
		for _, o := range r.Overrides {
			if !known(o.Receiver) && o.To.After(now) {
				return domain.InvalidField("receiver", "There is no receiver “"+o.Receiver+"”.", "a receiver's id")
			}
		}
		if err := tx.PutRota(r); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: r.Ref(), Actor: actor, Message: "The rota " + r.Name + " " + word + "."})
	})
	if err != nil {
		return r, err
	}
	return k.db.Rota(ctx, r.ID)
}

// StandIn has somebody else on call for a while.
func (k *Desk) StandIn(ctx context.Context, actor, rota string, o domain.RotaOverride) (domain.Rota, error) {
	r, err := k.db.Rota(ctx, rota)
	if err != nil {
		return r, err
	}
	if o.ID = ""; !o.To.After(k.clock()) && o.To.After(o.From) {
		return r, domain.InvalidField("to", "That is over already.", "a time to come")
	}
	r.Overrides = append(r.Overrides, o)
	return k.PutRota(ctx, actor, r)
}

// EndStandIn takes back that somebody else is on call.
func (k *Desk) EndStandIn(ctx context.Context, actor, rota, id string) (domain.Rota, error) {
	r, err := k.db.Rota(ctx, rota)
	if err != nil {
		return r, err
	}
	before := len(r.Overrides)
	if r.Overrides = slices.DeleteFunc(r.Overrides, func(o domain.RotaOverride) bool { return o.ID == id }); len(r.Overrides) == before {
		return r, domain.Errorf(domain.NotFound, "Nobody stands in by that.").WithFix("Look at the rota again.")
	}
	return k.PutRota(ctx, actor, r)
}

// DeleteRota forgets a rota. One that an escalation names stays.
func (k *Desk) DeleteRota(ctx context.Context, actor, id string) error {
	return k.db.Write(ctx, func(tx *db.Tx) error {
		r, err := tx.Rota(id)
		if err != nil {
			return err
		}
		if err := unnamed(tx, id, "rota "+r.Name); err != nil {
			return err
		}
		if err := tx.DeleteRota(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "rota.deleted", Resource: r.Ref(), Actor: actor, Message: "The rota " + r.Name + " was deleted."})
	})
}

// unnamed refuses to take away what an escalation or a rota names.
func unnamed(tx *db.Tx, id, what string) error {
	all, err := tx.Escalations()
	if err != nil {
		return err
	}
	for _, e := range all {
		if slices.ContainsFunc(e.Steps, func(s domain.EscalationStep) bool { return s.To == id }) {
			return domain.Errorf(domain.Conflict, "The %s is told by the escalation %s.", what, e.Name).WithFix("Name another one in its steps first.")
		}
	}
	rotas, err := tx.Rotas()
	if err != nil {
		return err
	}
	for _, r := range rotas {
		if r.Names(id) {
			return domain.Errorf(domain.Conflict, "The %s is on call in the rota %s.", what, r.Name).WithFix("Name another one there first.")
		}
	}
	return nil
}

// PutEscalation makes (version 0) or changes an escalation.
func (k *Desk) PutEscalation(ctx context.Context, actor string, e domain.Escalation) (domain.Escalation, error) {
	kind, word := "escalation.changed", "was changed"
	if e.Name = strings.TrimSpace(e.Name); e.Version == 0 {
		kind, word = "escalation.created", "was made"
		e.ID, e.CreatedAt = domain.NewID("esc", k.clock()), k.clock().UTC()
	}
	if err := e.Check(); err != nil {
		return e, err
	}
	err := k.db.Write(ctx, func(tx *db.Tx) error {
		rotas, err := tx.Rotas()
		if err != nil {
			return err
		}
		have, err := tx.Receivers()
		if err != nil {
			return err
		}
		for _, s := range e.Steps {
			if !slices.ContainsFunc(rotas, func(r domain.Rota) bool { return r.ID == s.To }) && !slices.ContainsFunc(have, func(r domain.Receiver) bool { return r.ID == s.To }) {
				return domain.InvalidField("steps", "There is no rota or receiver “"+s.To+"”.", "the id of a rota or of a receiver")
			}
		}
		if err := tx.PutEscalation(e); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: e.Ref(), Actor: actor, Message: "The escalation " + e.Name + " " + word + "."})
	})
	if err != nil {
		return e, err
	}
	return k.db.Escalation(ctx, e.ID)
}

// DeleteEscalation forgets an escalation: what was told by it is told of no more.
func (k *Desk) DeleteEscalation(ctx context.Context, actor, id string) error {
	return k.db.Write(ctx, func(tx *db.Tx) error {
		e, err := tx.Escalation(id)
		if err != nil {
			return err
		}
		if err := tx.DeleteEscalation(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "escalation.deleted", Resource: e.Ref(), Actor: actor, Message: "The escalation " + e.Name + " was deleted."})
	})
}
