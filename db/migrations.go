package db

import (
	"context"
	"strings"

	"novacron/domain"
)

type migrationRow struct {
	JobID     string `db:"job_id"`
	VMID      string `db:"vm_id"`
	VMName    string `db:"vm_name"`
	FromID    string `db:"from_id"`
	FromName  string `db:"from_name"`
	ToID      string `db:"to_id"`
	ToName    string `db:"to_name"`
	Mode      string
	State     string
	Started   int64
	Ended     int64
	DirtyRate int64 `db:"dirty_rate"`
	Forecast  string
	Result    string
}

func (r migrationRow) record() (domain.MigrationRecord, error) {
	m := domain.MigrationRecord{JobID: r.JobID, VMID: r.VMID, VMName: r.VMName, FromID: r.FromID, FromName: r.FromName, ToID: r.ToID, ToName: r.ToName,
		Mode: domain.MigrationMode(r.Mode), State: r.State, Started: at(r.Started), Ended: at(r.Ended), DirtyRate: r.DirtyRate}
	if err := parse(r.Forecast, &m.Forecast); err != nil {
		return m, err
	}
	return m, parse(r.Result, &m.Result)
}

// migrationState is a move's state, or stuck while its job waits for a person.
const migrationState = "CASE WHEN migrations.state = 'running' AND EXISTS (SELECT 1 FROM jobs WHERE jobs.id = migrations.job_id AND jobs.state = 'stuck') THEN 'stuck' ELSE migrations.state END"

const migrationColumns = "job_id, vm_id, vm_name, from_id, from_name, to_id, to_name, mode, state, started, ended, dirty_rate, forecast, result"

// MigrationQuery narrows a list of migrations; empty fields do not.
type MigrationQuery struct {
	VM, From, To, State string
	Before              string // job id: only older ones
	Limit               int
}

// Migrations lists migrations, newest first.
func (d *DB) Migrations(ctx context.Context, q MigrationQuery) ([]domain.MigrationRecord, error) {
	var cond []string
	var args []any
	for _, c := range []struct{ column, value string }{{"vm_id = ?", q.VM}, {"from_id = ?", q.From}, {"to_id = ?", q.To}, {migrationState + " = ?", q.State}, {"job_id < ?", q.Before}} {
		if c.value != "" {
			cond, args = append(cond, c.column), append(args, c.value)
		}
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	var rows []migrationRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+strings.Replace(migrationColumns, " state,", " "+migrationState+" AS state,", 1)+" FROM migrations"+and(cond)+" ORDER BY job_id DESC LIMIT ?", append(args, q.Limit)...); err != nil {
		return nil, edge(err, "migration")
	}
	out := make([]domain.MigrationRecord, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.record(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// PutMigration writes a migration's row, the first time or anew.
func (tx *Tx) PutMigration(m domain.MigrationRecord) error {
	forecast, err := text(m.Forecast)
	if err != nil {
		return err
	}
	result, err := text(m.Result)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO migrations (`+migrationColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (job_id) DO UPDATE SET state = excluded.state, ended = excluded.ended, result = excluded.result`,
		m.JobID, m.VMID, m.VMName, m.FromID, m.FromName, m.ToID, m.ToName, string(m.Mode), m.State, ms(m.Started), ms(m.Ended), m.DirtyRate, forecast, result)
	return edge(err, "migration")
}

// SetMigrationForecast writes what was measured and forecast just before the VM moves.
func (tx *Tx) SetMigrationForecast(jobID string, dirtyRate int64, f *domain.MigrationForecast) error {
	doc, err := text(f)
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE migrations SET dirty_rate = ?, forecast = ? WHERE job_id = ?", dirtyRate, doc, jobID)
	return edge(err, "migration")
}

// EndMigration writes how a migration ended; nothing happens when it never began.
func (tx *Tx) EndMigration(jobID, state string, result *domain.MigrationFigures) error {
	doc, err := text(result)
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE migrations SET state = ?, ended = ?, result = ? WHERE job_id = ?", state, ms(tx.now()), doc, jobID)
	return edge(err, "migration")
}

// SetVMMoving says that a job moves the VM to a host; "" says that none does.
func (tx *Tx) SetVMMoving(id, toHost string) error {
	return tx.one("VM", "UPDATE vms SET moving_to = ? WHERE id = ?", toHost, id)
}

// VMMovingTo finds the VM with this UUID that is on its way to the host. NotFound.
func (tx *Tx) VMMovingTo(hostID, uuid string) (domain.VM, error) {
	return getVM(tx.ctx, tx.read(), "v.moving_to = ? AND v.uuid = ?", hostID, uuid)
}

// MoveVM says that the VM is on another host from now on.
func (tx *Tx) MoveVM(id, toHost string) error {
	return tx.one("VM", "UPDATE vms SET host_id = ?, moving_to = '', rev = rev + 1, hash = '' WHERE id = ?", toHost, id)
}
