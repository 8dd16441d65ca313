package db

import (
	"context"
	"encoding/json"
	"time"

	"novacron/domain"
)

// Once is a request that is to be done once however often it is sent.
type Once struct {
	Asked  string // a digest of what was asked for
	JobID  string // of a change that is a job
	Status int    // of the answer; 0: the change was made and the answer was not kept
	Header map[string]string
	Body   []byte
}

// onceFor is how long a request is remembered.
const onceFor = 24 * time.Hour

func onceContext(who, key string) string { return "idempotency/" + who + "/" + key }

type onceAnswer struct {
	Header map[string]string `json:"header,omitempty"`
	Body   []byte            `json:"body,omitempty"`
}

// Once finds what the same asker sent with a key before.
func (d *DB) Once(ctx context.Context, who, key string) (o Once, ok bool, err error) {
	var row struct {
		Asked, Answer string
		JobID         string `db:"job_id"`
		Status        int
	}
	err = edge(d.read.GetContext(ctx, &row, "SELECT asked, job_id, status, answer FROM idempotency WHERE who = ? AND idem_key = ? AND created_at > ?",
		who, key, ms(d.clock().Add(-onceFor))), "request")
	if domain.Is(err, domain.NotFound) {
		return o, false, nil
	}
	if err != nil {
		return o, false, err
	}
	o = Once{Asked: row.Asked, JobID: row.JobID, Status: row.Status}
	if row.Answer == "" {
		return o, true, nil
	}
	plain, err := d.box.Open(row.Answer, onceContext(who, key))
	if err != nil {
		return o, false, err
	}
	var a onceAnswer
	if err := json.Unmarshal(plain, &a); err != nil {
		return o, false, domain.Errorf(domain.Internal, "A kept answer cannot be read: %w", err)
	}
	o.Header, o.Body = a.Header, a.Body
	return o, true, nil
}

// BeginOnce remembers that what was asked for with a key is done in this transaction. What is too old is forgotten with it.
func (tx *Tx) BeginOnce(who, key, asked string) error {
	now := tx.now()
	if _, err := tx.aside("DELETE FROM idempotency WHERE created_at <= ? OR who = ? AND idem_key = ?", ms(now.Add(-onceFor)), who, key); err != nil {
		return edge(err, "request")
	}
	_, err := tx.aside("INSERT INTO idempotency (who, idem_key, asked, job_id, status, answer, created_at) VALUES (?, ?, ?, '', 0, '', ?)", who, key, asked, ms(now))
	return edge(err, "request")
}

// EndOnce keeps the answer.
func (tx *Tx) EndOnce(who, key string, o Once) error {
	b, err := json.Marshal(onceAnswer{o.Header, o.Body})
	if err != nil {
		return domain.Errorf(domain.Internal, "An answer cannot be kept: %w", err)
	}
	sealed, err := tx.d.box.Seal(b, onceContext(who, key))
	if err != nil {
		return err
	}
	_, err = tx.aside("UPDATE idempotency SET job_id = ?, status = ?, answer = ? WHERE who = ? AND idem_key = ?", o.JobID, o.Status, sealed, who, key)
	return edge(err, "request")
}

// DropOnce forgets a request that was refused after all.
func (tx *Tx) DropOnce(who, key string) error {
	_, err := tx.aside("DELETE FROM idempotency WHERE who = ? AND idem_key = ?", who, key)
	return edge(err, "request")
}
