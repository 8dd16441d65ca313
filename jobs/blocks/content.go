package blocks

import (
	"context"
	"hash"
	"io"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// segment is how much is written before it counts as there: what a host that breaks off may cost.
const segment = 256 << 20

// Store carries the bytes of one upload from a request to its volume.
type Store struct {
	DB     *db.DB
	Engine *jobs.Engine
	Hosts  hv.Fleet
	Desk   *Desk
	Clock  func() time.Time
}

// Receive writes what body gives into the volume from the place on that the upload has reached, and keeps what came also when body breaks off: then the upload goes on with the
// next request. It gives the upload as it is then.
func (s Store) Receive(ctx context.Context, jobID string, v Volume, offset int64, body io.Reader) (db.Upload, error) {
	request := ctx
	// A client that leaves is told by body, behind everything that it sent. Were the request's end to end the write, what came last would be lost.
	ctx, done, err := s.Desk.claim(context.WithoutCancel(request), jobID)
	if err != nil {
		return db.Upload{}, err
	}
	defer done()
	patience, give := context.WithCancel(ctx)
	defer give()
	defer context.AfterFunc(request, give)()
	up, err := s.ready(patience, jobID)
	if err != nil {
		return up, err
	}
	if offset != up.Received {
		return up, misplaced(up, offset)
	}
	host, err := s.Hosts.Host(v.HostID)
	if err != nil {
		return up, err
	}
	for up.Received < up.Total {
		h, err := unmarshalHash(up.Hash)
		if err != nil {
			return up, err
		}
		n := min(up.Total-up.Received, segment)
		in := &counted{Reader: body}
		err = host.WriteVolume(ctx, v.Pool, v.Name, up.Received, n, io.TeeReader(io.LimitReader(&cut{in}, n), h))
		broke := isCut(err)
		if err != nil && !broke {
			if ctx.Err() == nil && !domain.Is(err, domain.Unavailable) { // the host says no: trying again would not help
				s.Desk.fail(jobID, err)
			}
			return up, err
		}
		if in.n > 0 {
			if up, err = s.advance(ctx, up, in.n, h); err != nil {
				return up, err
			}
		}
		if broke || in.n < n {
			return up, nil // this request has no more
		}
	}
	return up, nil
}

// cut marks what goes wrong on the sender's side, to tell it from the host's.
type cut struct{ r io.Reader }

type cutError struct{ error }

func (c *cut) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF {
		err = cutError{err}
	}
	return n, err
}

func isCut(err error) bool {
	_, ok := err.(cutError)
	return ok
}

// advance keeps what came, also when the request that brought it has ended meanwhile.
func (s Store) advance(ctx context.Context, up db.Upload, n int64, h hash.Hash) (db.Upload, error) {
	state, err := marshalHash(h)
	if err != nil {
		return up, err
	}
	up.Received, up.Hash, up.UpdatedAt = up.Received+n, state, s.Clock()
	err = s.DB.Write(context.WithoutCancel(ctx), func(tx *db.Tx) error { return tx.AdvanceUpload(up.JobID, up.Received, state, up.UpdatedAt) })
	s.Desk.wake(up.JobID)
	return up, err
}

// ready waits until the job has made room.
func (s Store) ready(ctx context.Context, jobID string) (db.Upload, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		job, err := s.DB.Job(ctx, jobID)
		if err != nil {
			return db.Upload{}, err
		}
		if job.State.Ended() || slices.ContainsFunc(job.Steps, func(st domain.JobStep) bool {
			return st.State == domain.StepFailed || st.State == domain.StepUndoing || st.State == domain.StepUndone
		}) {
			return db.Upload{}, ended(job)
		}
		if i := slices.IndexFunc(job.Steps, func(st domain.JobStep) bool { return st.Name == stepReceive }); i >= 0 && job.Steps[i].State == domain.StepStarted {
			return s.DB.Upload(ctx, jobID) // what is looked at after this is looked at by Desk.close too
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return db.Upload{}, domain.Errorf(domain.Unavailable, "The upload was withdrawn.").WithCause(ctx.Err())
		}
	}
}

func ended(job domain.Job) error {
	if e := job.Error; e != nil {
		return &domain.Error{Code: e.Code, Msg: e.Message, Fix: e.Fix, Fields: e.Fields, Reasons: e.Reasons}
	}
	return domain.Errorf(domain.Conflict, "The upload has ended already.").WithFix("Begin a new one.")
}

func misplaced(up db.Upload, offset int64) error {
	return domain.Errorf(domain.Conflict, "The upload goes on at byte %d, and not at %d.", max(0, up.Received), offset).
		WithFix("Ask with HEAD how far it came (Upload-Offset), and send the rest.")
}
