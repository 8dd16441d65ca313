package blocks

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"hash"
	"io"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Upload is the input of volume.upload.
type Upload struct {
	Volume Volume `json:"volume"`
	Total  int64  `json:"total"`
	SHA256 string `json:"sha256,omitempty"` // what the content has to be; empty: whatever it is
}

// UploadResult is what an upload leaves for its caller.
type UploadResult struct {
	VolumeID string `json:"volume_id"`
	Bytes    int64  `json:"bytes"`
	SHA256   string `json:"sha256"`
}

// uploadPatience is how long an upload may stand still before it is given up.
const uploadPatience = 24 * time.Hour

const stepReceive = "receive the content"

// notReady stands for how much was received before the volume can take anything.
const notReady = -1

// NewUploadRow is what is written with the job.
func NewUploadRow(jobID string, in Upload, now time.Time) (db.Upload, error) {
	state, err := marshalHash(sha256.New())
	return db.Upload{JobID: jobID, VolumeID: in.Volume.ID, Total: in.Total, Received: notReady, Hash: state, SHA256: in.SHA256, UpdatedAt: now}, err
}

func dropUpload(tx *db.Tx, job domain.Job) error { return tx.DeleteUpload(job.ID) }

func (d Deps) uploadSteps(in Upload) []jobs.Step {
	return []jobs.Step{{
		Name: "look whether it may be written to", Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error { return d.thawed(ctx, in.Volume.ID) },
		Undo: func(ctx context.Context, r *jobs.Run) error { // nothing was touched; no request may bring content for it any more
			d.Desk.close(r.Job().ID)
			return d.DB.Write(ctx, func(tx *db.Tx) error { return tx.DeleteUpload(r.Job().ID) })
		},
	}, {
		Name:    "make room",
		Timeout: 10 * time.Minute,
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.makeRoom(ctx, r, in) },
		Undo:    func(ctx context.Context, r *jobs.Run) error { return d.tidy(ctx, r, in) },
	}, {
		Name:   stepReceive,
		NoUndo: "What came is taken away with the room that was made for it.",
		Do:     func(ctx context.Context, r *jobs.Run) error { return d.receive(ctx, r) },
	}, {
		Name:    "check the content",
		Timeout: hostTimeout,
		NoUndo:  "It only looks.",
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.check(ctx, r, in) },
	}}
}

func (d Deps) makeRoom(ctx context.Context, r *jobs.Run, in Upload) error {
	host, err := d.Hosts.Host(in.Volume.HostID)
	if err != nil {
		return err
	}
	up, err := d.DB.Upload(ctx, r.Job().ID)
	if err != nil {
		return err
	}
	if up.Received > 0 {
		return nil // this step was done before, and what came since must stay
	}
	err = host.ClearVolume(ctx, in.Volume.Pool, in.Volume.Name)
	if domain.Is(err, domain.Unsupported) {
		if _, err = host.Volume(ctx, in.Volume.Pool, in.Volume.Name); err != nil {
			return err
		}
		r.Log("What was in the volume is written over.")
	} else if err != nil {
		return err
	}
	if err := d.DB.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DropChecksum(in.Volume.ID); err != nil {
			return err
		}
		return tx.AdvanceUpload(r.Job().ID, 0, up.Hash, d.Clock())
	}); err != nil {
		return err
	}
	d.Desk.wake(r.Job().ID)
	return nil
}

// receive waits for the requests that bring the content. Between them nothing may be under way for a day.
func (d Deps) receive(ctx context.Context, r *jobs.Run) error {
	id := r.Job().ID
	d.Desk.mu.Lock()
	wake := d.Desk.of(id).wake
	d.Desk.mu.Unlock()
	p := pace{clock: d.Clock}
	err := r.Idle(ctx, func(ctx context.Context) error {
		for {
			up, err := d.DB.Upload(ctx, id)
			if err != nil {
				return err
			}
			if err := d.Desk.failure(id); err != nil {
				return err
			}
			r.Progress(p.words(up.Received, up.Total))
			if up.Received >= up.Total {
				return nil
			}
			left := up.UpdatedAt.Add(uploadPatience).Sub(d.Clock())
			if left <= 0 {
				return domain.Errorf(domain.Unavailable, "Nothing came for %s: %s of %s are there.", uploadPatience, domain.FormatBytes(up.Received), domain.FormatBytes(up.Total)).WithFix("Upload it again.")
			}
			timer := time.NewTimer(left)
			select {
			case <-wake:
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			}
			timer.Stop()
		}
	})
	if err != nil {
		d.Desk.close(id) // before anything is taken back: nobody writes into what is tidied up
	}
	return err
}

// tidy leaves an empty volume where half of something was.
func (d Deps) tidy(ctx context.Context, r *jobs.Run, in Upload) error {
	d.Desk.close(r.Job().ID)
	host, err := d.Hosts.Host(in.Volume.HostID)
	if err != nil {
		return err
	}
	if err := host.DeleteVolume(ctx, in.Volume.Pool, in.Volume.Name); domain.Is(err, domain.NotFound) || domain.Is(err, domain.Unsupported) || domain.Is(err, domain.Conflict) {
		r.Log("%s could not be emptied; it may have part of what was uploaded: %s", in.Volume.Name, err)
	} else if err != nil {
		return err
	} else {
		_, err := host.CreateVolume(ctx, hv.VolumeSpec{Pool: in.Volume.Pool, Name: in.Volume.Name, Format: in.Volume.Format, SizeBytes: in.Volume.Bytes})
		if err != nil && !domain.Is(err, domain.Conflict) {
			return err
		}
		r.Log("%s is empty again.", in.Volume.Name)
	}
	if err := d.DB.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DropChecksum(in.Volume.ID); err != nil {
			return err
		}
		return tx.DeleteUpload(r.Job().ID)
	}); err != nil {
		return err
	}
	if err := d.told(ctx, r, in.Volume, "The upload into %s was given up; the volume is empty.", in.Volume.Name); err != nil {
		return err
	}
	return d.Mirror.Inventory(ctx, host, in.Volume.HostID, cause(r, ""))
}

func (d Deps) check(ctx context.Context, r *jobs.Run, in Upload) error {
	id := r.Job().ID
	up, err := d.DB.Upload(ctx, id)
	if domain.Is(err, domain.NotFound) {
		return nil // checked before
	}
	if err != nil {
		return err
	}
	h, err := unmarshalHash(up.Hash)
	if err != nil {
		return err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if up.SHA256 != "" && up.SHA256 != sum {
		return domain.Errorf(domain.Invalid, "The content that came has the SHA-256 %s, and not %s.", sum, up.SHA256).WithFix("Look whether it is the right file, and upload it again.")
	}
	host, err := d.Hosts.Host(in.Volume.HostID)
	if err != nil {
		return err
	}
	head, err := readHead(ctx, host, in.Volume.Pool, in.Volume.Name)
	if err != nil {
		return err
	}
	if err := domain.CheckImageHead(head, in.Volume.Format); err != nil {
		return err
	}
	if err := d.DB.Write(ctx, func(tx *db.Tx) error {
		if err := tx.SetChecksum(in.Volume.ID, db.Checksum{SHA256: sum, Bytes: up.Total, At: d.Clock()}); err != nil {
			return err
		}
		return tx.DeleteUpload(id)
	}); err != nil {
		return err
	}
	d.Desk.close(id)
	if err := r.Result(UploadResult{in.Volume.ID, up.Total, sum}); err != nil {
		return err
	}
	if err := d.told(ctx, r, in.Volume, "%s were uploaded into %s.", domain.FormatBytes(up.Total), in.Volume.Name); err != nil {
		return err
	}
	return d.Mirror.Inventory(ctx, host, in.Volume.HostID, cause(r, ""))
}

func readHead(ctx context.Context, host hv.Host, pool, name string) ([]byte, error) {
	in, err := host.ReadVolume(ctx, pool, name, 0, domain.ImageHeadBytes)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(in)
}

func marshalHash(h hash.Hash) ([]byte, error) {
	b, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "The state of a checksum cannot be kept: %w", err)
	}
	return b, nil
}

func unmarshalHash(b []byte) (hash.Hash, error) {
	h := sha256.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(b); err != nil {
		return nil, domain.Errorf(domain.Internal, "The state of a checksum cannot be read: %w", err)
	}
	return h, nil
}

// Checksum is the input of volume.checksum.
type Checksum struct {
	Volume Volume `json:"volume"`
}

func (d Deps) checksumSteps(in Checksum) []jobs.Step {
	return []jobs.Step{{
		Name:    "read the volume",
		Timeout: 24 * time.Hour,
		NoUndo:  "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.Volume.HostID)
			if err != nil {
				return err
			}
			size, err := host.ContentSize(ctx, in.Volume.Pool, in.Volume.Name)
			if err != nil {
				return err
			}
			content, err := host.ReadVolume(ctx, in.Volume.Pool, in.Volume.Name, 0, 0)
			if err != nil {
				return err
			}
			defer content.Close()
			h, p := sha256.New(), pace{clock: d.Clock}
			n, err := io.Copy(h, &counted{Reader: content, tell: func(n int64) { r.Progress(p.words(n, size)) }})
			if err != nil {
				return err
			}
			sum := hex.EncodeToString(h.Sum(nil))
			if err := d.DB.Write(ctx, func(tx *db.Tx) error {
				return tx.SetChecksum(in.Volume.ID, db.Checksum{SHA256: sum, Bytes: n, At: d.Clock()})
			}); err != nil {
				return err
			}
			r.Log("SHA-256 %s over %d bytes.", sum, n)
			if err := d.told(ctx, r, in.Volume, "The SHA-256 of %s was computed.", in.Volume.Name); err != nil {
				return err
			}
			return r.Result(UploadResult{in.Volume.ID, n, sum})
		},
	}}
}

// counted tells how much was read, every 8 MiB.
type counted struct {
	io.Reader
	n, last int64
	tell    func(n int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.n += int64(n); c.tell != nil && c.n-c.last > 8<<20 {
		c.last = c.n
		c.tell(c.n)
	}
	return n, err
}
