// Package drift shows what is not as files asked for, and what can be done about it.
//
// It is not for writing files, nor for what an apply would do: the command line and the API are for these.
package drift

import "novacron/domain/desired"

// Page is the list.
type Page struct {
	Items   []desired.Drift
	Applied int // how many objects are held to files
	Key     string
}

var kinds = map[desired.Kind]string{
	desired.KindTenant: "Tenant", desired.KindPool: "Storage pool", desired.KindNetwork: "Network", desired.KindTemplate: "Template", desired.KindVM: "VM", desired.KindPolicy: "Migration policy",
	desired.KindAffinity: "Affinity rule",
}

func shown(v, none string) string {
	if v == "" {
		return none
	}
	return v
}
