package db

import (
	"context"
	"database/sql"
	"maps"

	"novacron/domain"
)

// Overview counts the estate in one statement.
func (d *DB) Overview(ctx context.Context) (Overview, error) {
	last := d.feed.Last() // before reading: who follows from it misses nothing
	o, err := d.overviews.get(ctx, struct{}{}, func() (Overview, error) { return d.readOverview(ctx) })
	o.VMs, o.Hosts = maps.Clone(o.VMs), maps.Clone(o.Hosts)
	o.LastEvent = last
	return o, err
}

func (d *DB) readOverview(ctx context.Context) (Overview, error) {
	o := Overview{VMs: map[domain.VMState]int{}, Hosts: map[domain.HostState]int{}}
	cond, args := conditionOfSight(ctx)
	owned, more := conditionOfOwner(ctx)
	args = append(args, more...)
	query := `SELECT 'vm', ` + stateColumn + `, count(*), sum(v.vcpus), sum(v.memory_bytes),
			sum(CASE WHEN v.state IN ('running', 'paused') THEN v.vcpus ELSE 0 END), sum(CASE WHEN v.state IN ('running', 'paused') THEN v.memory_bytes ELSE 0 END)
			FROM vms v JOIN hosts h ON h.id = v.host_id` + and(cond) + ` GROUP BY 2
		UNION ALL SELECT 'host', h.state, count(*), sum(h.cpus), sum(h.memory_bytes), sum(h.maintenance), min(h.state_since) FROM hosts h GROUP BY 2
		UNION ALL SELECT 'storage', h.state, 0, sum(h.storage_free), sum(h.storage_total), 0, 0 FROM hosts h GROUP BY 2
		UNION ALL SELECT 'job', j.state, count(*), 0, 0, 0, 0 FROM jobs j ` + and(append([]string{"j.state IN ('queued', 'running', 'stuck')"}, owned...)) + ` GROUP BY 2`
	err := d.read.each(ctx, func(rows *sql.Rows) error {
		var what, state string
		var n int
		var a, b, c, e int64
		if err := rows.Scan(&what, &state, &n, &a, &b, &c, &e); err != nil {
			return err
		}
		connected := state == string(domain.HostConnected)
		switch what {
		case "vm":
			o.VMs[domain.VMState(state)] = n
			o.VMsTotal += n
			o.VCPUsDefined += int(a)
			o.MemoryDefined += b
			if state != string(domain.VMAway) {
				o.VCPUsRunning += int(c)
				o.MemoryRunning += e
			}
		case "host":
			o.Hosts[domain.HostState(state)] = n
			o.HostsTotal += n
			o.Maintenance += int(c)
			if connected {
				o.CPUs, o.MemoryBytes = int(a), b
			}
			if state == string(domain.HostAway) {
				o.OldestAwaySince = at(e)
			}
		case "storage":
			if connected {
				o.StorageFree, o.StorageTotal = a, b
			}
		case "job":
			if state == string(domain.JobStuck) {
				o.StuckJobs = n
			} else {
				o.ActiveJobs += n
			}
		}
		return nil
	}, query, args...)
	return o, edge(err, "overview")
}
