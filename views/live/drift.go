package live

import "strings"

// Pages of what is not as files asked for.
const (
	Drift       = "/drift"                  // GET
	PatDriftAct = "/drift/:kind/:name/:act" // POST adopt, ignore, speak, revert
	DriftBody   = "drift-body"
	OnDrift     = "drift" // what the stream brings
)

// DriftAct does something about one object. A slash of its name is a colon in the address.
func DriftAct(kind, name, act string) string {
	return at("drift", kind, strings.Replace(name, "/", ":", 1), act)
}
