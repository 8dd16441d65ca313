package charts

import "novacron/domain"

// Compare is several VMs side by side.
type Compare struct {
	Set  Set
	VMs  []domain.VM
	More []domain.VM // that may be added
}

// without is the page with one VM less.
func (m Compare) without(id string) string {
	q := m.Set.address().Query()
	ids := q["id"]
	q.Del("id")
	for _, x := range ids {
		if x != id {
			q.Add("id", x)
		}
	}
	u := *m.Set.address()
	u.RawQuery = q.Encode()
	return u.RequestURI()
}

// all is everything in the page's address.
func (s Set) all() [][2]string {
	q := s.address().Query()
	out := s.kept()
	for _, name := range []string{"range", "from", "to"} {
		if v := q.Get(name); v != "" {
			out = append(out, [2]string{name, v})
		}
	}
	return out
}
