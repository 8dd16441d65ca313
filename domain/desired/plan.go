package desired

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"novacron/domain"
)

// Action is what a plan does with an object.
type Action string

const (
	Create   Action = "create"
	Update   Action = "update"
	TakeOver Action = "take_over" // it is as wanted and belonged to nobody
	Keep     Action = "keep"      // it is as wanted
	Delete   Action = "delete"    // the files do not have it any more, and it is to go
	Leave    Action = "leave"     // the files do not have it any more, and it stays
	Forget   Action = "forget"    // the files do not have it any more, and it is gone already
	Blocked  Action = "blocked"   // it cannot be done; reason says why
)

// Live is an object that is there.
type Live struct {
	ID   string
	Spec json.RawMessage
	Many int // how many are called so; the key does not tell them apart
}

// Record is what is remembered of an object that was applied.
type Record struct {
	Kind      Kind
	Key       string
	Owner     string
	Tenant    string          // in whose name it was applied; empty: the estate's
	Last      json.RawMessage // as it was written when it was applied
	ObjectID  string
	Ignored   map[string]string // by path: the live value that is not spoken of
	AppliedAt time.Time
	AppliedBy string
}

// Item is one object of a plan.
type Item struct {
	Kind   Kind            `json:"kind" enum:"tenant,pool,network,template,vm,policy,affinity"`
	Name   string          `json:"name" doc:"Its name; of pools and networks name@host"`
	Action Action          `json:"action" enum:"create,update,take_over,keep,delete,leave,forget,blocked"`
	Reason string          `json:"reason"`
	At     string          `json:"at,omitempty" doc:"File and line"`
	ID     string          `json:"id,omitempty" doc:"Of what is there"`
	Fields []Field         `json:"fields" nullable:"false"`
	Owner  string          `json:"owner,omitempty" doc:"To whom it belongs already, when that is somebody else"`
	Wanted json.RawMessage `json:"-"` // as it was written
	Full   json.RawMessage `json:"-"` // with what its template says
	Spec   json.RawMessage `json:"-"` // what is
}

// Changes reports whether it does anything to the estate.
func (i Item) Changes() bool { return i.Action == Create || i.Action == Update || i.Action == Delete }

// Plan is what an apply would do, in this order.
type Plan struct {
	Owner string `json:"owner"`
	Items []Item `json:"items" nullable:"false"`
}

// Count gives how many items have an action.
func (p Plan) Count(a Action) (n int) {
	for _, i := range p.Items {
		if i.Action == a {
			n++
		}
	}
	return n
}

// Empty reports whether nothing of the estate would change.
func (p Plan) Empty() bool {
	return !slices.ContainsFunc(p.Items, func(i Item) bool { return i.Changes() || i.Action == Blocked })
}

// Err is nil, or says what keeps the plan from being carried out: a Conflict that names every object.
func (p Plan) Err() error {
	var reasons []domain.Reason
	for _, i := range p.Items {
		if i.Action == Blocked {
			reasons = append(reasons, domain.Reason{Subject: string(i.Kind) + " " + i.Name, Msg: i.Reason})
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	e := domain.Errorf(domain.Conflict, "%d of %d objects cannot be applied. The first is the %s: %s", len(reasons), len(p.Items), reasons[0].Subject, reasons[0].Msg).
		WithFix("Put the files right; novacron plan shows what each would do.")
	e.Reasons = reasons[:min(len(reasons), 50)]
	return e
}

// Facts are the live side: what is there by kind and key, and what is remembered.
type Facts struct {
	Live    map[Kind]map[string]Live
	Records map[Kind]map[string]Record
	Hosts   []string // their names
	// Templates are the versions of each, newest first, by its name.
	Templates map[string][]domain.TemplateVersion
}

// Make plans. prune lets what the owner applied before, and the set does not have, go; nothing else is ever deleted.
func Make(set Set, facts Facts, prune bool) (Plan, error) {
	p := Plan{Owner: set.Owner, Items: []Item{}}
	var err error
	if facts.Templates, err = facts.planned(set); err != nil {
		return p, err
	}
	wanted := map[Kind]map[string]bool{}
	for _, o := range set.Objects {
		if wanted[o.Kind] == nil {
			wanted[o.Kind] = map[string]bool{}
		}
		wanted[o.Kind][o.Key] = true
	}
	for _, o := range set.Objects {
		it, err := one(set, o, facts, wanted)
		if err != nil {
			return p, err
		}
		p.Items = append(p.Items, it)
	}
	for k, records := range facts.Records {
		for key, r := range records {
			if !set.owns(r) || wanted[k][key] {
				continue
			}
			it := Item{Kind: k, Name: key, Fields: []Field{}, ID: r.ObjectID}
			live, there := facts.Live[k][key]
			switch {
			case !there:
				it.Action, it.Reason = Forget, "It is in the files no more, and it is gone already."
			case prune:
				it.Action, it.Reason, it.ID, it.Spec = Delete, set.Owner+" applied it before, and it is in the files no more.", live.ID, live.Spec
			default:
				it.Action, it.Reason, it.ID = Leave, "It is in the files no more; it stays unless pruning is asked for.", live.ID
			}
			p.Items = append(p.Items, it)
		}
	}
	slices.SortStableFunc(p.Items, func(a, b Item) int {
		if c := cmp.Compare(a.phase(), b.phase()); c != 0 {
			return c
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return p, nil
}

// phase puts what others need first, and takes away in the opposite order at the end.
func (i Item) phase() int {
	switch i.Action {
	case Delete, Leave, Forget:
		return 2*len(Kinds) - i.Kind.Rank()
	}
	return i.Kind.Rank()
}

func one(set Set, o Object, facts Facts, wanted map[Kind]map[string]bool) (Item, error) {
	it := Item{Kind: o.Kind, Name: o.Key, At: o.At, Wanted: o.Spec, Full: o.Spec, Fields: []Field{}}
	record, applied := facts.Records[o.Kind][o.Key]
	live, there := facts.Live[o.Kind][o.Key]
	it.ID, it.Spec = live.ID, live.Spec
	block := func(format string, args ...any) (Item, error) {
		it.Action, it.Reason = Blocked, fmt.Sprintf(format, args...)
		return it, nil
	}
	owner := set.Owner
	if applied && !set.owns(record) {
		it.Owner = record.Owner
		if record.Tenant != set.Tenant {
			return block("It belongs to the owner %s of %s, and this is the apply of %s of %s. Take it out of the one's files or of the other's.", record.Owner, whose(record.Tenant), owner, whose(set.Tenant))
		}
		return block("It belongs to the owner %s, and this is the apply of %s. Take it out of the one's files or of the other's.", record.Owner, owner)
	}
	if set.Tenant != "" && !slices.Contains(TenantKinds, o.Kind) {
		return block("It is the estate's: who has roles in a tenant applies VMs, templates and affinity rules.")
	}
	if live.Many > 1 {
		return block("%d are called so, and only one may be.", live.Many)
	}
	doc, err := tree(o.Spec)
	if err != nil {
		return it, err
	}
	if host := word(doc, "host"); host != "" && !(o.Kind == KindVM && host == "any") && !slices.Contains(facts.Hosts, host) {
		return block("There is no host “%s”.", host)
	}
	if reason := facts.missing(o.Kind, doc, wanted); reason != "" {
		return block("%s", reason)
	}
	if !there {
		it.Action, it.Reason = Create, "It is not there."
		if applied {
			it.Reason = "It was applied before and is gone."
		}
		if err := facts.makeable(o); err != nil {
			return block("It cannot be made: %s", err.Error())
		}
		return it, nil
	}
	if it.Full, err = facts.full(o.Kind, o.Spec, live.Spec); err != nil {
		return block("Its template cannot be read with it: %s", err.Error())
	}
	s, err := facts.sides(o.Kind, record.Last, live.Spec, it.Full)
	if err != nil {
		return it, err
	}
	it.Fields = s.compare()
	if word(doc, "template") != "" {
		reason, err := facts.judgeTemplate(doc, s.live, it.Fields)
		if err != nil {
			return it, err
		}
		if reason != "" {
			return block("%s", reason)
		}
	}
	for _, f := range it.Fields {
		if fix, no := unchangeable(o.Kind, f.Path); no {
			return block("%s is %s and cannot become %s by an apply. %s", f.Path, cmp.Or(f.Live, "not set"), cmp.Or(f.Wanted, "unset"), fix)
		}
	}
	switch {
	case len(it.Fields) > 0:
		it.Action, it.Reason = Update, because(it.Fields, applied)
	case !applied:
		it.Action, it.Reason = TakeOver, "It is as wanted; it belonged to nobody, and is "+owner+"'s from then on."
	default:
		it.Action, it.Reason = Keep, "It is as wanted."
	}
	return it, nil
}

func whose(tenant string) string {
	if tenant == "" {
		return "the estate"
	}
	return "the tenant " + tenant
}

func because(fields []Field, applied bool) string {
	count := map[Why]int{}
	for _, f := range fields {
		count[f.Why]++
	}
	var out []string
	say := func(n int, what string) {
		if n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, what))
		}
	}
	say(count[WhyFile], "changed in the file")
	say(count[WhyOutside], "changed outside")
	say(count[WhyBoth], "changed in the file and outside")
	if applied {
		say(count[WhyFirst], "new in the file")
	} else {
		say(count[WhyFirst], "otherwise than the file says, and it belonged to nobody")
	}
	say(count[WhyRemoved], "in the file no more")
	return "Fields: " + strings.Join(out, ", ") + "."
}

// sides are those of an object with what its template says, then and now. What was applied of a version that is gone stands for itself.
func (f Facts) sides(k Kind, last, live, wanted json.RawMessage) (sides, error) {
	if was, err := f.full(k, last, live); err == nil {
		last = was
	}
	return newSides(k, last, live, wanted)
}

// missing says what an object names that is neither there nor asked for by the same files.
func (f Facts) missing(k Kind, doc map[string]any, wanted map[Kind]map[string]bool) string {
	known := func(k Kind, name string) bool {
		_, there := f.Live[k][name]
		return there || wanted[k][name]
	}
	switch k {
	case KindVM:
		ref := word(doc, "template")
		name, number := TemplateRef(ref)
		if ref == "" {
			return ""
		}
		if _, there := f.Templates[name]; !there {
			return "There is no template “" + name + "”."
		}
		if _, ok := f.version(ref, ""); !ok && number > 0 {
			return fmt.Sprintf("The template %s has no version %d.", name, number)
		} else if !ok {
			return "Every version of the template " + name + " is deprecated."
		}
	case KindAffinity:
		vms, _ := doc["vms"].([]any)
		for _, name := range vms {
			if n := show(name); !domain.IsVM(n) && !known(KindVM, n) {
				return "There is no VM “" + n + "”."
			}
		}
		hosts, _ := doc["hosts"].([]any)
		for _, name := range hosts {
			if n := show(name); !slices.Contains(f.Hosts, n) {
				return "There is no host “" + n + "”."
			}
		}
	}
	return ""
}

// makeable judges what is to be made, as far as that can be told without a host.
func (f Facts) makeable(o Object) error {
	switch o.Kind {
	case KindVM:
		v, err := Decode[VM](o.Spec)
		if err != nil {
			return err
		}
		if v.Template == "" {
			return v.Spec().Validate()
		}
		t, _ := f.version(v.Template, "")
		if t.Deprecated {
			return domain.Errorf(domain.Conflict, "%s is deprecated. Use a newer version.", t.Ref())
		}
		values, err := t.Values(v.Values())
		if err != nil {
			return err
		}
		s, err := t.Resolve(v.Name, values)
		if err != nil {
			return err
		}
		return v.Over(s).Validate()
	case KindAffinity:
		a, err := Decode[Affinity](o.Spec)
		if err != nil {
			return err
		}
		r, err := a.Rule(as, as)
		if err != nil {
			return err
		}
		return r.Validate()
	case KindNetwork:
		n, err := Decode[Network](o.Spec)
		if err != nil {
			return err
		}
		return n.Spec().Validate()
	case KindPool:
		p, err := Decode[Pool](o.Spec)
		if err != nil {
			return err
		}
		return p.Spec().WithDefaults().Validate()
	case KindTenant:
		t, err := Decode[Tenant](o.Spec)
		if err != nil {
			return err
		}
		var p domain.Problems
		domain.CheckTenant(&p, domain.Tenant{ID: domain.Slugged(t.Name), Name: t.Name, Notes: t.Notes, Quota: t.Quota})
		return p.Err()
	}
	return nil
}

// Spec is the pool to make.
func (p Pool) Spec() domain.PoolSpec {
	return domain.PoolSpec{Name: p.Name, Type: p.Type, Target: p.Target, Source: p.Source, Autostart: p.Autostart == nil || *p.Autostart}
}

// Drift is an object that is not as it was applied.
type Drift struct {
	Kind    Kind    `json:"kind" enum:"tenant,pool,network,template,vm,policy,affinity"`
	Name    string  `json:"name"`
	ID      string  `json:"id" doc:"Of what is there; empty when it is gone"`
	Owner   string  `json:"owner"`
	Missing bool    `json:"missing" doc:"It is gone"`
	Fields  []Field `json:"fields" nullable:"false" doc:"wanted is what was applied"`
	Ignored []Field `json:"ignored" nullable:"false" doc:"Deviations that somebody chose not to be told of"`
	Since   string  `json:"applied_at" doc:"When it was applied"`
	By      string  `json:"applied_by"`
}

// gone is the path under which it is ignored that an object is missing.
const gone = "."

// Drifts lists what is not as it was applied, by kind and name.
func Drifts(facts Facts) ([]Drift, error) {
	out := []Drift{}
	for k, records := range facts.Records {
		for key, r := range records {
			d := Drift{Kind: k, Name: key, Owner: r.Owner, Fields: []Field{}, Ignored: []Field{}, Since: r.AppliedAt.UTC().Format(time.RFC3339), By: r.AppliedBy}
			live, there := facts.Live[k][key]
			d.ID = live.ID
			if !there {
				d.Missing = true
				f := Field{Path: gone, Wanted: "there", Live: "gone", Why: WhyOutside}
				if _, ok := r.Ignored[gone]; ok {
					d.Ignored = append(d.Ignored, f)
				} else {
					d.Fields = append(d.Fields, f)
				}
				out = append(out, d)
				continue
			}
			wanted := r.Last
			if whole, err := facts.full(k, r.Last, live.Spec); err == nil {
				wanted = whole
			}
			s, err := newSides(k, wanted, live.Spec, wanted)
			if err != nil {
				return nil, err
			}
			for _, f := range s.compare() {
				if value, ok := r.Ignored[f.Path]; ok && value == f.Live {
					d.Ignored = append(d.Ignored, f)
				} else {
					d.Fields = append(d.Fields, f)
				}
			}
			if len(d.Fields)+len(d.Ignored) > 0 {
				out = append(out, d)
			}
		}
	}
	slices.SortFunc(out, func(a, b Drift) int {
		return cmp.Or(cmp.Compare(a.Kind.Rank(), b.Kind.Rank()), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}
