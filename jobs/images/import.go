package images

import (
	"context"
	"fmt"
	"os"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/images/diskfile"
	"novacron/jobs/snapshot"
)

// Import is the input of image.import. The version's row was written with the job, or, for an upload, before its first byte.
type Import struct {
	VersionID string             `json:"version_id"`
	Ref       string             `json:"ref"`
	NewImage  bool               `json:"new_image"` // the image goes again with its first version
	Source    domain.ImageSource `json:"source"`
	SHA256    string             `json:"sha256,omitempty"` // what the file must have
	Format    string             `json:"format,omitempty"` // what it is said to be
	Publish   bool               `json:"publish,omitempty"`
	// Of a VM or a volume:
	HostID string `json:"host_id,omitempty"`
	Pool   string `json:"pool,omitempty"`
	Volume string `json:"volume,omitempty"`
	Flat   bool   `json:"flat,omitempty"`    // the volume is one file; else a flat copy is made on the host first
	VMUUID string `json:"vm_uuid,omitempty"` // must not run meanwhile, unless its disk is held still
	VMName string `json:"vm_name,omitempty"`
	// Still is how the disk of a VM that runs is held still.
	Still *snapshot.Still `json:"still,omitempty"`
}

// FillVolume says which volume the content is read from.
func (in *Import) FillVolume(v domain.Volume) {
	in.HostID, in.Pool, in.Volume, in.Flat = v.HostID, v.Pool, v.Name, v.Backing == ""
	if v.Format == domain.FormatQCOW2 || v.Format == domain.FormatRaw {
		in.Format = v.Format // never guessed from what a guest wrote
	}
}

// imported is what an import remembers.
type imported struct {
	Fetch fetched       `json:"fetch"`
	Copy  string        `json:"copy,omitempty"` // name of the flat copy on the host
	Held  snapshot.Held `json:"held"`
	Read  bool          `json:"read,omitempty"`
	Info  *found        `json:"info,omitempty"`
	Out   string        `json:"out,omitempty"` // format of the converted file; empty: the file as it came is kept
	Keep  *kept         `json:"keep,omitempty"`
}

type found struct {
	diskfile.Info
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

type kept struct {
	SHA256  string `json:"sha256"`
	Bytes   int64  `json:"bytes"`
	Format  string `json:"format"`
	Virtual int64  `json:"virtual"`
}

func (d Deps) importSteps(in Import) []jobs.Step {
	undo := func(ctx context.Context, r *jobs.Run) error { return d.forgetVersion(ctx, r, in) }
	goes := "What it wrote goes with the first step's undo."
	var steps []jobs.Step
	switch in.Source.Kind {
	case domain.SourceURL:
		steps = append(steps, jobs.Step{Name: "fetch the file", Timeout: 24 * time.Hour, Undo: undo, Do: func(ctx context.Context, r *jobs.Run) error { return d.fetch(ctx, r, in) }})
	case domain.SourceVM, domain.SourceVolume:
		steps = append(steps, d.readSteps(in, undo)...)
	default:
		steps = append(steps, jobs.Step{Name: "look at the upload", Timeout: time.Minute, Undo: undo, Do: func(ctx context.Context, r *jobs.Run) error {
			n, err := d.Library.Received(in.VersionID)
			if err == nil && n == 0 {
				return domain.Errorf(domain.NotFound, "The upload is not there any more.").WithFix("Upload the file again.")
			}
			r.Log("%s came in.", domain.FormatBytes(n))
			return err
		}})
	}
	return append(steps,
		jobs.Step{Name: "check the file", Timeout: 6 * time.Hour, NoUndo: goes, Do: func(ctx context.Context, r *jobs.Run) error { return d.check(ctx, r, in) }},
		jobs.Step{Name: "convert it", Timeout: convertTimeout + time.Minute, NoUndo: goes, Do: func(ctx context.Context, r *jobs.Run) error { return d.convert(ctx, r, in) }},
		jobs.Step{Name: "put it into the library", Timeout: 6 * time.Hour,
			Do:   func(ctx context.Context, r *jobs.Run) error { return d.putAway(ctx, r, in) },
			Undo: func(ctx context.Context, r *jobs.Run) error { return d.takeBack(ctx, r, in) }},
	)
}

func (d Deps) fetch(ctx context.Context, r *jobs.Run, in Import) error {
	var st imported
	if err := r.Load(&st); err != nil {
		return err
	}
	if st.Fetch.Done {
		return nil
	}
	keep := func(f fetched) error {
		st.Fetch = f
		return r.Save(ctx, st)
	}
	now, err := d.Library.fetch(ctx, in.VersionID, in.Source.URL, st.Fetch, keep, throttled(r, 0, 50, "fetching"))
	if err != nil {
		return err
	}
	now.Done = true
	if err := keep(now); err != nil {
		return err
	}
	n, err := d.Library.Received(in.VersionID)
	r.Log("Fetched %s from %s.", domain.FormatBytes(n), in.Source.URL)
	return err
}

// check hashes the file as it came and reads its headers. Nothing else touches the file before this.
func (d Deps) check(ctx context.Context, r *jobs.Run, in Import) error {
	var st imported
	if err := r.Load(&st); err != nil {
		return err
	}
	if st.Info != nil {
		return nil
	}
	path := d.Library.incoming(in.VersionID, ".part")
	sum, size, err := hash(ctx, path, throttled(r, 50, 60, "computing the checksum"))
	if err != nil {
		return err
	}
	if in.SHA256 != "" && sum != in.SHA256 {
		return domain.Errorf(domain.Invalid, "The file has another checksum than was said: it is %s, and %s was expected.", sum, in.SHA256).
			WithFix("Nothing of it was kept. Get the file or the checksum again from where they came from.")
	}
	f, err := os.Open(path) // #nosec G304 -- the library's own path of what is being imported
	if err != nil {
		return fileError(err, "read")
	}
	defer f.Close()
	info, err := diskfile.Inspect(f, size, in.Format)
	if err != nil {
		return err
	}
	if ok, why := d.Library.CanConvert(); !ok && !domain.NativeFormat(info.Format) {
		return domain.Errorf(domain.Unsupported, "The file is of the format %s, which must be converted. %s", info.Format, why)
	}
	if err := d.admit(ctx, r, in, size); err != nil { // before anything is converted
		return err
	}
	st.Info = &found{info, sum, size}
	r.Log("It is %s, %s long, with a disk of %s. Its SHA-256 checksum is %s.", info.Format, domain.FormatBytes(size), domain.FormatBytes(info.VirtualBytes), sum)
	if in.SHA256 == "" && in.Source.Kind == domain.SourceURL {
		r.Log("No checksum was given to compare with: compare this one with what the image's makers publish.")
	}
	return r.Save(ctx, st)
}

// convert makes qcow2 of everything that is neither that nor an ISO image. A file that is kept as it came is not written again, so that its checksum is the one its
// makers publish.
func (d Deps) convert(ctx context.Context, r *jobs.Run, in Import) error {
	var st imported
	if err := r.Load(&st); err != nil {
		return err
	}
	info := st.Info
	if info == nil {
		return domain.Errorf(domain.Internal, "The job has lost what it found out about the file.")
	}
	able, _ := d.Library.CanConvert()
	if st.Out != "" || info.Format == domain.FormatISO || info.Format == domain.FormatQCOW2 && !info.OldQCOW2 || !able {
		if !able && info.OldQCOW2 {
			r.Log("It is qcow2 of version 2, which cannot be made version 3 without qemu-img on the server.")
		}
		return nil
	}
	select {
	case d.Library.convert <- struct{}{}:
		defer func() { <-d.Library.convert }()
	default:
		r.Progress(60, "waiting: other images are being converted")
		select {
		case d.Library.convert <- struct{}{}:
			defer func() { <-d.Library.convert }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	part, out := d.Library.incoming(in.VersionID, ".part"), d.Library.incoming(in.VersionID, ".out")
	err := d.Library.tool.convert(ctx, part, info.Format, info.Inner, info.VirtualBytes, out, domain.FormatQCOW2, func(p float64) {
		r.Progress(60+p*0.3, fmt.Sprintf("converting: %.0f %%", p))
	})
	if err != nil {
		return err
	}
	st.Out = domain.FormatQCOW2
	r.Log("Converted it to qcow2.")
	return r.Save(ctx, st)
}

// putAway moves the file to its place and makes the version a draft. What qemu-img wrote is inspected like any other file.
func (d Deps) putAway(ctx context.Context, r *jobs.Run, in Import) error {
	var st imported
	if err := r.Load(&st); err != nil {
		return err
	}
	if st.Info == nil {
		return domain.Errorf(domain.Internal, "The job has lost what it found out about the file.")
	}
	from := d.Library.incoming(in.VersionID, ".part")
	if st.Keep == nil {
		k := kept{SHA256: st.Info.SHA256, Bytes: st.Info.Bytes, Format: st.Info.Format, Virtual: st.Info.VirtualBytes}
		if st.Out != "" {
			from = d.Library.incoming(in.VersionID, ".out")
			var err error
			if k, err = d.converted(ctx, r, from, st); err != nil {
				return err
			}
		}
		st.Keep = &k
		if err := d.admit(ctx, r, in, k.Bytes); err != nil {
			return err
		}
		if err := r.Save(ctx, st); err != nil {
			return err
		}
	} else if st.Out != "" {
		from = d.Library.incoming(in.VersionID, ".out")
	}
	free, err := d.Library.files.take(ctx, st.Keep.SHA256)
	if err != nil {
		return err
	}
	defer free()
	if err := d.Library.keep(from, st.Keep.SHA256, st.Keep.Format); err != nil {
		return err
	}
	if err := d.Library.discard(in.VersionID); err != nil {
		return err
	}
	job := r.Job()
	err = d.DB.Write(ctx, func(tx *db.Tx) error {
		v, err := tx.ImageVersion(in.VersionID)
		if err != nil || v.State != domain.ImageImporting {
			return err
		}
		v.State, v.Format, v.SHA256, v.FileBytes, v.VirtualBytes, v.Hints = domain.ImageDraft, st.Keep.Format, st.Keep.SHA256, st.Keep.Bytes, st.Keep.Virtual, st.Info.Hints
		v.Source.Format, v.Source.SHA256, v.Source.Bytes = st.Info.Format, st.Info.SHA256, st.Info.Bytes
		words := "is in the library as a draft"
		if in.Publish {
			v.State, v.PublishedAt, words = domain.ImagePublished, job.CreatedAt, "was published"
		}
		if err := tx.UpdateImageVersion(v); err != nil {
			return err
		}
		return changed(tx, job, v, "image.changed", fmt.Sprintf("%s %s (%s).", v.Ref(), words, domain.FormatBytes(v.FileBytes)))
	})
	if err != nil {
		return err
	}
	v, err := d.DB.ImageVersion(ctx, in.VersionID)
	if err != nil {
		return err
	}
	return r.Result(Result{ImageID: v.ImageID, VersionID: v.ID, Ref: v.Ref(), SHA256: v.SHA256, Bytes: v.FileBytes})
}

// admit holds the size of a version's file against the quota of whose image it is.
func (d Deps) admit(ctx context.Context, r *jobs.Run, in Import, size int64) error {
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		v, err := tx.ImageVersion(in.VersionID)
		if err != nil || v.State != domain.ImageImporting {
			return err
		}
		return tx.AdmitImage(v.ImageID, domain.Usage{StorageBytes: size}, r.Job().ID)
	})
}

func (d Deps) converted(ctx context.Context, r *jobs.Run, path string, st imported) (kept, error) {
	sum, size, err := hash(ctx, path, throttled(r, 90, 98, "computing the checksum"))
	if err != nil {
		return kept{}, err
	}
	f, err := os.Open(path) // #nosec G304 -- the library's own path of what is being imported
	if err != nil {
		return kept{}, fileError(err, "read")
	}
	defer f.Close()
	info, err := diskfile.Inspect(f, size, st.Out)
	if err != nil {
		return kept{}, err
	}
	if info.VirtualBytes < st.Info.VirtualBytes || info.VirtualBytes-st.Info.VirtualBytes >= 64*domain.MiB { // VHD rounds to its geometry
		return kept{}, domain.Errorf(domain.Invalid, "The image says that its disk is %s long, and it is %s: it lies about its size.",
			domain.FormatBytes(st.Info.VirtualBytes), domain.FormatBytes(info.VirtualBytes))
	}
	return kept{SHA256: sum, Bytes: size, Format: st.Out, Virtual: info.VirtualBytes}, nil
}

// takeBack removes the file again unless another version has the same.
func (d Deps) takeBack(ctx context.Context, r *jobs.Run, in Import) error {
	var st imported
	if err := r.Load(&st); err != nil || st.Keep == nil {
		return err
	}
	free, err := d.Library.files.take(ctx, st.Keep.SHA256)
	if err != nil {
		return err
	}
	defer free()
	last := false
	err = d.DB.Write(ctx, func(tx *db.Tx) error {
		v, err := tx.ImageVersion(in.VersionID)
		if err == nil && v.SHA256 != "" {
			v.State, v.SHA256 = domain.ImageImporting, ""
			if err := tx.UpdateImageVersion(v); err != nil {
				return err
			}
		} else if err != nil && !domain.Is(err, domain.NotFound) {
			return err
		}
		n, err := tx.FileUsers(st.Keep.SHA256)
		last = n == 0
		return err
	})
	if err != nil || !last {
		return err
	}
	return d.Library.remove(st.Keep.SHA256, st.Keep.Format)
}

// forgetVersion is the end of an import that failed: no row and no file stays.
func (d Deps) forgetVersion(ctx context.Context, r *jobs.Run, in Import) error {
	if err := d.Library.discard(in.VersionID); err != nil {
		return err
	}
	return d.DB.Write(ctx, func(tx *db.Tx) error { return forgetVersion(tx, r.Job(), in) })
}

func forgetVersion(tx *db.Tx, job domain.Job, in Import) error {
	v, err := tx.ImageVersion(in.VersionID)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := tx.DeleteImageVersion(v.ID); err != nil {
		return err
	}
	if in.NewImage {
		if err := tx.DeleteImage(v.ImageID); err != nil {
			return err
		}
	}
	return changed(tx, job, v, "image.removed", fmt.Sprintf("%s was not imported.", v.Ref()))
}

// abandonImport is the same for a job that never began. What came in goes first: without its row nobody could ask for it again.
func (d Deps) abandonImport(tx *db.Tx, job domain.Job) error {
	in, err := inputOf[Import](job)
	if err != nil {
		return err
	}
	if err := d.Library.discard(in.VersionID); err != nil {
		return err
	}
	return forgetVersion(tx, job, in)
}
