package db

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

// vmSorts are the columns a list can be sorted by.
var vmSorts = map[string]struct {
	column string
	number bool
}{
	"name":    {"v.name_key", false},
	"state":   {stateColumn, false},
	"host":    {"h.name_key", false},
	"vcpus":   {"v.vcpus", true},
	"memory":  {"v.memory_bytes", true},
	"created": {"v.created_at", true},
}

// VMSorts lists what VMQuery.Sort may be.
var VMSorts = []string{"name", "state", "host", "vcpus", "memory", "created"}

// cursor says after which row a page begins. It carries the sort so that it cannot be used with another one.
type cursor struct {
	Sort string `json:"s"`
	Desc bool   `json:"d,omitempty"`
	Key  string `json:"k"`
	ID   string `json:"i"`
}

func (c cursor) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and a bool always encode
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(s, sort string, desc bool) (cursor, error) {
	var c cursor
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil || c.Sort != sort || c.Desc != desc {
		return c, domain.InvalidField("after", "That is not a cursor of this list.", "“next” of an earlier page with the same sort, or nothing for the first page")
	}
	return c, nil
}

// conditions compiles everything of q but the page, and what the context's sight shows.
func (q VMQuery) conditions(ctx context.Context) (cond []string, args []any, err error) {
	terms, err := ParseFilter(q.Filter)
	if err != nil {
		return nil, nil, err
	}
	cond, args = compile(terms)
	if seen, more := conditionOfSight(ctx); len(seen) > 0 {
		cond, args = append(cond, seen...), append(args, more...)
	}
	if q.Tenant != "" {
		cond, args = append(cond, "v.tenant = ?"), append(args, q.Tenant)
	}
	if q.Host != "" {
		cond, args = append(cond, "v.host_id = ?"), append(args, q.Host)
	}
	if q.State != "" {
		if !slices.Contains(domain.VMStates, q.State) {
			return nil, nil, domain.InvalidField("state", "“"+string(q.State)+"” is not a state.", "one of "+strings.Join(stateNames(), ", "))
		}
		cond, args = append(cond, stateColumn+" = ?"), append(args, string(q.State))
	}
	return cond, args, nil
}

func and(cond []string) string {
	if len(cond) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(cond, " AND ")
}

// VMs gives one page of VMs. A page is stable: rows do not move between pages while the estate changes, unless their own sort key does.
func (d *DB) VMs(ctx context.Context, q VMQuery) (VMPage, error) {
	page, err := d.pages.get(ctx, q, func() (VMPage, error) { return d.readVMs(ctx, q) })
	page.Items = slices.Clone(page.Items) // so that its reader may sort or cut it
	return page, err
}

func (d *DB) readVMs(ctx context.Context, q VMQuery) (VMPage, error) {
	var page VMPage
	if q.Sort == "" {
		q.Sort = "name"
	}
	sort, ok := vmSorts[q.Sort]
	if !ok {
		return page, domain.InvalidField("sort", "There is no sorting by “"+q.Sort+"”.", "one of "+strings.Join(VMSorts, ", "))
	}
	cond, args, err := q.conditions(ctx)
	if err != nil {
		return page, err
	}
	count := "SELECT count(*) FROM vms v"
	if len(cond) > 0 {
		count += " JOIN hosts h ON h.id = v.host_id" + and(cond)
	}
	if err := d.read.GetContext(ctx, &page.Total, count, args...); err != nil {
		return page, edge(err, "VM")
	}
	order, compare := "ASC", ">"
	if q.Desc {
		order, compare = "DESC", "<"
	}
	if q.After != "" {
		c, err := parseCursor(q.After, q.Sort, q.Desc)
		if err != nil {
			return page, err
		}
		var key any = c.Key
		if sort.number {
			if key, err = strconv.ParseInt(c.Key, 10, 64); err != nil {
				return page, domain.InvalidField("after", "That is not a cursor of this list.", "“next” of an earlier page")
			}
		}
		cond, args = append(cond, "("+sort.column+", v.id) "+compare+" (?, ?)"), append(args, key, c.ID)
	}
	n := limit(q.Limit, defaultLimit)
	page.Items = make([]domain.VM, 0, n)
	revs := make([]int64, 0, n)
	var key, lastKey string
	err = d.read.each(ctx, func(rows *sql.Rows) error {
		if len(page.Items) == n {
			page.Next = cursor{Sort: q.Sort, Desc: q.Desc, Key: lastKey, ID: page.Items[n-1].ID}.String()
			return nil
		}
		var vm domain.VM
		var rev int64
		if err := scanVM(rows, &vm, &rev, &key); err != nil {
			return err
		}
		lastKey = key
		page.Items, revs = append(page.Items, vm), append(revs, rev)
		return nil
	}, "SELECT "+vmColumns+", "+sort.column+vmTables+and(cond)+" ORDER BY "+sort.column+" "+order+", v.id "+order+" LIMIT ?", append(args, n+1)...)
	if err != nil {
		return page, edge(err, "VM")
	}
	return page, d.attach(ctx, page.Items, revs)
}

// VMMatches reports whether a VM is in the list, whatever Sort, Limit and After say.
func (d *DB) VMMatches(ctx context.Context, q VMQuery, id string) (bool, error) {
	cond, args, err := q.conditions(ctx)
	if err != nil {
		return false, err
	}
	var n int
	err = d.read.GetContext(ctx, &n, "SELECT count(*) FROM vms v JOIN hosts h ON h.id = v.host_id"+and(append(cond, "v.id = ?")), append(args, id)...)
	return n > 0, edge(err, "VM")
}

// VMIDs gives the ids of all VMs that match, by name, whatever Limit and After say: "select all N that match".
func (d *DB) VMIDs(ctx context.Context, q VMQuery) ([]string, error) {
	cond, args, err := q.conditions(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	err = d.read.SelectContext(ctx, &ids, "SELECT v.id FROM vms v JOIN hosts h ON h.id = v.host_id"+and(cond)+" ORDER BY v.name_key, v.id", args...)
	return ids, edge(err, "VM")
}
