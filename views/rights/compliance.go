package rights

import (
	"fmt"

	"novacron/domain/compliance"
	"novacron/views/ui"
)

// Compliance is how well the server and its hosts are kept.
type Compliance struct{ Checks []compliance.Judgement }

// Areas are the checks by area, in their order.
func (c Compliance) areas() (out [][]compliance.Judgement) {
	for _, x := range c.Checks {
		if n := len(out); n > 0 && out[n-1][0].Area == x.Area {
			out[n-1] = append(out[n-1], x)
		} else {
			out = append(out, []compliance.Judgement{x})
		}
	}
	return out
}

func (c Compliance) words() string {
	n := map[compliance.State]int{}
	for _, x := range c.Checks {
		n[x.State]++
	}
	text := fmt.Sprintf("%d of %d hold", n[compliance.Holds], len(c.Checks))
	if u := n[compliance.Unknown]; u > 0 {
		text += fmt.Sprintf(", of %d it is not known", u)
	}
	return text
}

func look(s compliance.State) (tone, icon, word string) {
	switch s {
	case compliance.Holds:
		return ui.OK, "circle-check", "holds"
	case compliance.Fails:
		return ui.Bad, "alert-circle", "does not hold"
	}
	return ui.Neutral, "help-circle", "not known"
}
