package fleet

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/placement"
	"novacron/jobs"
	"novacron/jobs/images"
	"novacron/jobs/provision"
)

// UseLibrary gives the front door the image library. It must be called before Register; without it there are no images.
func (f *Fleet) UseLibrary(l *images.Library) { f.shelf = l }

func (f *Fleet) library() (*images.Library, error) {
	if f.shelf == nil {
		return nil, domain.Errorf(domain.Unsupported, "This server has no image library.")
	}
	return f.shelf, nil
}

// CanConvert reports whether the server can convert images, and what it means if not.
func (f *Fleet) CanConvert() (ok bool, why string) {
	if f.shelf == nil {
		return false, "This server has no image library."
	}
	return f.shelf.CanConvert()
}

// NewImage asks for a version of an image: of a new one, or of the one with ImageID.
type NewImage struct {
	ImageID     string // empty: a new image with the name
	Name        string
	Arch        string
	Description string
	Label       string // of the version; empty: the day, or the next number
	Changelog   string
	Format      string // what the file is said to be; empty: found out
	SHA256      string // what the file must have; empty: not compared
	Publish     bool   // when it is complete
	URL         string // one of these four
	VolumeID    string
	VMID        string
	Upload      bool
	Target      string // of VMID: which disk; empty: the first
	FileName    string // of Upload, for the record
	Key         string
}

// NewImageVersion makes a version of an image and, unless its content is to be uploaded, the job that brings its content. An upload is asked for by
// Upload, and the job begins when all of it came in.
func (f *Fleet) NewImageVersion(ctx context.Context, actor string, req NewImage) (domain.ImageVersion, domain.Job, error) {
	var none domain.ImageVersion
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		if err != nil {
			return none, job, err
		}
		in, err := importInput(job)
		if err != nil {
			return none, job, err
		}
		v, err := f.db.ImageVersion(ctx, in.VersionID)
		if domain.Is(err, domain.NotFound) {
			err = nil // it failed, and its version went
		}
		return v, job, err
	}
	a, err := f.askVersion(ctx, &req)
	if err != nil {
		return none, domain.Job{}, err
	}
	if req.Upload {
		err := f.db.Write(ctx, func(tx *db.Tx) error {
			if err := tx.SetSetting(uploadKey(a.v.ID), mustText(a.in)); err != nil {
				return err
			}
			return a.insert(tx, actor, "")
		})
		return a.v, domain.Job{}, err
	}
	job, err := f.engine.Enqueue(ctx, jobs.Request{
		Kind: images.KindImport, Title: "Import " + a.v.Ref(), Resource: imageRef(a.v), Locks: append(a.locks, a.v.ID), Input: a.in, Actor: actor, Key: req.Key,
	}, func(tx *db.Tx, job *domain.Job) error { return a.insert(tx, actor, job.ID) })
	return a.v, job, err
}

// askedVersion is a version of an image that is about to be made.
type askedVersion struct {
	image domain.Image
	fresh bool // the image is new, too
	v     domain.ImageVersion
	in    images.Import
	locks []string
}

// askVersion checks a request and says what is to be made; nothing is written yet.
func (f *Fleet) askVersion(ctx context.Context, req *NewImage) (a askedVersion, err error) {
	if a.image, a.fresh, err = f.imageFor(ctx, req); err != nil {
		return a, err
	}
	if _, err := f.library(); err != nil {
		return a, err
	}
	a.v = domain.ImageVersion{ID: domain.NewID("imgv", f.clock()), ImageID: a.image.ID, ImageName: a.image.Name, Arch: a.image.Arch, Label: req.Label, State: domain.ImageImporting,
		Changelog: req.Changelog}
	a.in = images.Import{VersionID: a.v.ID, Ref: a.v.Ref(), NewImage: a.fresh, SHA256: req.SHA256, Format: req.Format, Publish: req.Publish}
	a.locks, err = f.sourceOf(ctx, *req, &a.in)
	a.v.Source = a.in.Source
	return a, err
}

func (a *askedVersion) insert(tx *db.Tx, actor, jobID string) error {
	if a.fresh {
		if err := tx.InsertImage(a.image); err != nil {
			return err
		}
	}
	a.v.JobID = jobID
	if err := tx.InsertImageVersion(a.v); err != nil {
		return err
	}
	return tx.Emit(domain.Event{Kind: "image.created", Resource: imageRef(a.v), JobID: jobID, Actor: actor, Message: fmt.Sprintf("%s is being imported.", a.v.Ref())})
}

func imageRef(v domain.ImageVersion) domain.Ref {
	return domain.Ref{Kind: "image", ID: v.ImageID, Name: v.ImageName}
}

// imageFor checks a request and gives the image that the version will be of.
func (f *Fleet) imageFor(ctx context.Context, req *NewImage) (image domain.Image, fresh bool, err error) {
	var p domain.Problems
	if req.ImageID != "" {
		if image, err = f.db.Image(ctx, req.ImageID); err != nil {
			return image, false, err
		}
	} else {
		if req.Arch == "" {
			req.Arch = "x86_64"
		}
		domain.CheckImageName(&p, "name", req.Name)
		domain.CheckArch(&p, "arch", req.Arch)
		domain.CheckWords(&p, "description", req.Description)
		image = domain.Image{ID: domain.NewID("img", f.clock()), Name: req.Name, Arch: req.Arch, Description: req.Description}
		fresh = true
	}
	if req.Label == "" {
		req.Label = nextLabel(image, f.clock().UTC().Format("2006-01-02"))
	}
	domain.CheckImageLabel(&p, "version", req.Label)
	domain.CheckWords(&p, "changelog", req.Changelog)
	domain.CheckSHA256(&p, "source.sha256", req.SHA256)
	if req.Format != "" && !slices.Contains(domain.ImageFormatsIn, req.Format) {
		p.Add("format", "“"+req.Format+"” is not a format that can be imported.", "one of qcow2, raw, iso, vmdk, vdi, vhd, vhdx, ova, or nothing to have it found out")
	}
	if ok, why := f.CanConvert(); !ok && req.Format != "" && !domain.NativeFormat(req.Format) {
		p.Add("format", why, "qcow2, raw or iso")
	}
	sources := 0
	for _, given := range []bool{req.URL != "", req.VolumeID != "", req.VMID != "", req.Upload} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		p.Add("source", "An image comes from one source.", "one of url, volume, vm and upload")
	}
	if req.URL != "" {
		domain.CheckImageURL(&p, "source.url", req.URL)
	}
	return image, fresh, p.Err()
}

// nextLabel is the day, or the day with a number when that is taken.
func nextLabel(image domain.Image, day string) string {
	label := day
	for n := 2; slices.ContainsFunc(image.Versions, func(v domain.ImageVersion) bool { return v.Label == label }); n++ {
		label = fmt.Sprintf("%s.%d", day, n)
	}
	return label
}

// sourceOf fills in where the content comes from, and names what must be held meanwhile.
func (f *Fleet) sourceOf(ctx context.Context, req NewImage, in *images.Import) (locks []string, err error) {
	switch {
	case req.URL != "":
		in.Source = domain.ImageSource{Kind: domain.SourceURL, URL: req.URL}
	case req.VolumeID != "":
		return f.volumeSource(ctx, req, in)
	case req.VMID != "":
		return f.vmSource(ctx, req, in)
	default:
		in.Source = domain.ImageSource{Kind: domain.SourceUpload, Name: req.FileName}
	}
	return nil, nil
}

func (f *Fleet) volumeSource(ctx context.Context, req NewImage, in *images.Import) ([]string, error) {
	on, err := f.db.VolumeOn(ctx, req.VolumeID)
	if domain.Is(err, domain.NotFound) {
		return nil, domain.InvalidField("source.volume", "There is no such volume.", "a volume's id")
	}
	if err != nil {
		return nil, err
	}
	users, err := f.db.VolumeUsers(ctx, req.VolumeID)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if u.Kind == "vm" && u.Live && u.Direct && !u.ReadOnly {
			return nil, domain.Errorf(domain.Conflict, "%s runs with this volume; it can be read only while nobody writes to it.", u.Name).WithFix("Shut %s down first, or make the image from the VM.", u.Name)
		}
	}
	v := on[0]
	in.FillVolume(v)
	in.Source = domain.ImageSource{Kind: domain.SourceVolume, Name: v.Pool + "/" + v.Name, ID: req.VolumeID}
	return []string{"volume:" + v.HostID + "/" + v.Pool + "/" + v.Name}, encrypted(v, "source.volume")
}

func encrypted(v domain.Volume, field string) error {
	if v.Encrypted {
		return domain.InvalidField(field, v.Name+" is encrypted; images are kept unencrypted.", "a volume that is not")
	}
	return nil
}

func (f *Fleet) vmSource(ctx context.Context, req NewImage, in *images.Import) ([]string, error) {
	vm, err := f.db.VM(ctx, req.VMID)
	if domain.Is(err, domain.NotFound) {
		return nil, domain.InvalidField("source.vm", "There is no such VM.", "a VM's id")
	}
	if err != nil {
		return nil, err
	}
	if err := busy(vm); err != nil {
		return nil, err
	}
	runs := vm.State == domain.VMRunning || vm.State == domain.VMPaused
	if !runs {
		if err := vm.State.Can(domain.ActClone); err != nil {
			return nil, err
		}
	}
	inside, err := f.inside(ctx, vm)
	if err != nil {
		return nil, err
	}
	volumes, err := f.db.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return nil, err
	}
	byName, byPath := provision.Index(volumes)
	for _, d := range vm.Config.Disks {
		if provision.Shared(d) || req.Target != "" && d.Target != req.Target {
			continue
		}
		v, ok := provision.VolumeOf(d, byName, byPath)
		if !ok {
			return nil, domain.Errorf(domain.Conflict, "Disk %s of %s is in no storage pool of its host, so it cannot be read.", d.Target, vm.Name).WithFix("Make a storage pool for its directory on the host, then try again.")
		}
		in.FillVolume(v)
		in.VMUUID, in.VMName = vm.UUID, vm.Name
		if inside[v.Path] {
			in.Flat = false // an image has what is on the disk now, and nothing of what was
		}
		if runs {
			if in.Still, err = f.still(ctx, vm, []string{d.Target}, "an image"); err != nil {
				return nil, err
			}
		}
		in.Source = domain.ImageSource{Kind: domain.SourceVM, Name: vm.Name + " (" + d.Target + ")", ID: vm.ID}
		return []string{vm.ID}, encrypted(v, "source.vm")
	}
	return nil, domain.InvalidField("source.vm", vm.Name+" has no such disk to make an image of.", "a VM with a disk of its own")
}

// ImageUpload says where an upload stands.
type ImageUpload struct {
	Version  domain.ImageVersion
	Received int64
	Job      domain.Job // when all came in
}

// UploadImage takes a part of a version's content; total is the size of the whole, -1 when this part is all of it. When all came in the job that checks it is
// enqueued.
func (f *Fleet) UploadImage(ctx context.Context, actor, versionID string, offset, total int64, body io.Reader) (ImageUpload, error) {
	lib, err := f.library()
	if err != nil {
		return ImageUpload{}, err
	}
	up, in, err := f.uploading(ctx, versionID)
	if err != nil {
		return up, err
	}
	up.Received, err = lib.Receive(ctx, versionID, offset, total, body)
	if err != nil || total >= 0 && up.Received < total {
		return up, err
	}
	up.Job, err = f.engine.Enqueue(ctx, jobs.Request{
		Kind: images.KindImport, Title: "Import " + up.Version.Ref(), Resource: imageRef(up.Version), Locks: []string{versionID}, Input: in, Actor: actor,
	}, func(tx *db.Tx, job *domain.Job) error {
		v, err := tx.ImageVersion(versionID)
		if err != nil {
			return err
		}
		if v.JobID != "" {
			return imported(v)
		}
		v.JobID = job.ID
		if err := tx.DeleteSetting(uploadKey(v.ID)); err != nil {
			return err
		}
		return tx.UpdateImageVersion(v)
	})
	return up, err
}

// ImageUploadState says how much of a version's content came in.
func (f *Fleet) ImageUploadState(ctx context.Context, versionID string) (ImageUpload, error) {
	lib, err := f.library()
	if err != nil {
		return ImageUpload{}, err
	}
	up, _, err := f.uploading(ctx, versionID)
	if err == nil {
		up.Received, err = lib.Received(versionID)
	}
	return up, err
}

func (f *Fleet) uploading(ctx context.Context, versionID string) (ImageUpload, images.Import, error) {
	v, err := f.db.ImageVersion(ctx, versionID)
	if err != nil {
		return ImageUpload{}, images.Import{}, err
	}
	up := ImageUpload{Version: v}
	if v.State != domain.ImageImporting || v.JobID != "" {
		return up, images.Import{}, imported(v)
	}
	text, ok, err := f.db.Setting(ctx, uploadKey(v.ID))
	if err != nil {
		return up, images.Import{}, err
	}
	if !ok {
		return up, images.Import{}, domain.Errorf(domain.Conflict, "The content of %s does not come by upload.", v.Ref())
	}
	in, err := importOf(text)
	return up, in, err
}

func imported(v domain.ImageVersion) error {
	if v.State == domain.ImageImporting {
		return domain.Errorf(domain.Conflict, "The content of %s came in already and is being checked.", v.Ref()).WithFix("Wait for its task to end.")
	}
	return domain.Errorf(domain.Conflict, "%s has its content; a version is never overwritten.", v.Ref()).WithFix("Add a new version.")
}

// OpenImage opens a version's content in a format, converting it when it is kept in another one. The caller closes the file.
func (f *Fleet) OpenImage(ctx context.Context, versionID, format string) (*os.File, domain.ImageVersion, error) {
	lib, err := f.library()
	if err != nil {
		return nil, domain.ImageVersion{}, err
	}
	v, err := f.db.ImageVersion(ctx, versionID)
	if err != nil {
		return nil, v, err
	}
	file, err := lib.Export(ctx, v, format)
	return file, v, err
}

// PublishImage makes a draft immutable and offers it, deprecates a published version, or publishes a deprecated one again.
func (f *Fleet) PublishImage(ctx context.Context, actor, versionID string, to domain.ImageState) (domain.ImageVersion, error) {
	var v domain.ImageVersion
	err := f.db.Write(ctx, func(tx *db.Tx) error {
		var err error
		if v, err = tx.ImageVersion(versionID); err != nil || v.State == to {
			return err
		}
		if err := v.State.Next(to); err != nil {
			return err
		}
		again := v.State == domain.ImageDeprecated
		if v.State = to; to == domain.ImagePublished && !again {
			v.PublishedAt = f.clock()
		}
		if err := tx.UpdateImageVersion(v); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "image.changed", Resource: imageRef(v), Actor: actor, Message: fmt.Sprintf("%s was %s.", v.Ref(), to)})
	})
	return v, err
}

// EditImage asks to change what may change of an image; nil stays.
type EditImage struct {
	Name        *string
	Arch        *string
	Description *string
}

// DescribeImage changes an image at once. version 0 means any.
func (f *Fleet) DescribeImage(ctx context.Context, actor, id string, version int64, edit EditImage) (domain.Image, error) {
	image, err := f.db.Image(ctx, id)
	if err != nil {
		return image, err
	}
	set(&image.Name, edit.Name)
	set(&image.Arch, edit.Arch)
	set(&image.Description, edit.Description)
	var p domain.Problems
	domain.CheckImageName(&p, "name", image.Name)
	domain.CheckArch(&p, "arch", image.Arch)
	domain.CheckWords(&p, "description", image.Description)
	if err := p.Err(); err != nil {
		return image, err
	}
	err = f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.UpdateImage(image, version); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "image.changed", Resource: domain.Ref{Kind: "image", ID: image.ID, Name: image.Name}, Actor: actor, Message: fmt.Sprintf("The image %s was edited.", image.Name)})
	})
	if err != nil {
		return image, err
	}
	return f.db.Image(ctx, image.ID)
}

func set[T any](dst *T, src *T) {
	if src != nil {
		*dst = *src
	}
}

// PlaceImage enqueues the copy of a version to a host before anything there needs it. pool empty: the one that VMs' disks would be made in.
func (f *Fleet) PlaceImage(ctx context.Context, actor, versionID, hostID, pool, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	if _, err := f.library(); err != nil {
		return domain.Job{}, err
	}
	v, err := f.db.ImageVersion(ctx, versionID)
	if err != nil {
		return domain.Job{}, err
	}
	if v.State == domain.ImageImporting {
		return domain.Job{}, v.Usable()
	}
	on, _, err := f.on(ctx, hostID)
	if domain.Is(err, domain.NotFound) {
		return domain.Job{}, domain.InvalidField("host", "There is no such host.", "a host's id")
	}
	if err != nil {
		return domain.Job{}, err
	}
	if pool == "" {
		pool = placement.PoolForImage(on)
	}
	i := slices.IndexFunc(on.Pools, func(p domain.Pool) bool { return p.Name == pool })
	switch {
	case i < 0:
		return domain.Job{}, domain.InvalidField("pool", on.Host.Name+" has no storage pool “"+pool+"”.", "an active pool of files")
	case !on.Pools[i].Active || !on.Pools[i].HoldsFiles():
		return domain.Job{}, domain.InvalidField("pool", "The pool “"+pool+"” is not active, or its volumes are no files.", "an active pool of files (dir, fs, netfs)")
	}
	return f.engine.Enqueue(ctx, jobs.Request{
		Kind: images.KindPlace, Title: fmt.Sprintf("Copy %s to %s", v.Ref(), on.Host.Name), Resource: imageRef(v),
		Input: images.Placement{HostID: hostID, Pool: pool, VersionID: v.ID, Ref: v.Ref()}, Actor: actor, Key: key,
	}, func(tx *db.Tx, job *domain.Job) error {
		if _, err := f.db.ImageCopyIn(ctx, v.ID, on.Pools[i].ID); domain.Is(err, domain.NotFound) { // the job asks again when it writes the copy
			if err := tx.AdmitImage(v.ImageID, images.Takes(v, on.Pools[i].ID), ""); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		return tx.HoldImage(job.ID, v.ID)
	})
}

// UnusedImages lists copies and frozen disks that nothing needs now.
func (f *Fleet) UnusedImages(ctx context.Context) ([]images.Unused, error) {
	return images.FindUnused(ctx, f.db)
}

// CollectImages enqueues the removal of copies and frozen disks by their ids; none means every unused copy, and no frozen disk.
func (f *Fleet) CollectImages(ctx context.Context, actor string, ids []string, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	unused, err := f.UnusedImages(ctx)
	if err != nil {
		return domain.Job{}, err
	}
	var in images.Collect
	for _, u := range unused {
		switch {
		case len(ids) > 0 && !slices.Contains(ids, u.ID):
		case u.Base && len(ids) > 0:
			in.Bases = append(in.Bases, u.ID)
		case !u.Base:
			in.Copies = append(in.Copies, u.ID)
		}
	}
	n := len(in.Copies) + len(in.Bases)
	if n == 0 {
		return domain.Job{}, domain.Errorf(domain.Conflict, "There is nothing unused to remove.").WithFix("Look at the list again; something may be used by now.")
	}
	return f.engine.Enqueue(ctx, jobs.Request{
		Kind: images.KindCollect, Title: fmt.Sprintf("Remove %d unused copies of images", n), Resource: domain.Ref{Kind: "images", Name: "image library"},
		Locks: []string{"images:collect"}, Input: in, Actor: actor, Key: key,
	})
}

// DeleteImage enqueues the removal of an image, or of one version of it when versionID is given, with its copies on hosts.
func (f *Fleet) DeleteImage(ctx context.Context, actor, imageID, versionID, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	image, err := f.db.Image(ctx, imageID)
	if err != nil {
		return domain.Job{}, err
	}
	if _, err := f.library(); err != nil {
		return domain.Job{}, err
	}
	in := images.Deletion{ImageID: image.ID, Name: image.Name, Whole: versionID == ""}
	locks := []string{}
	for _, v := range image.Versions {
		if versionID == "" || v.ID == versionID {
			in.Versions, in.Refs, locks = append(in.Versions, v.ID), append(in.Refs, v.Ref()), append(locks, v.ID)
		}
	}
	if versionID != "" && len(in.Versions) == 0 {
		return domain.Job{}, domain.Errorf(domain.NotFound, "The image %s has no such version.", image.Name)
	}
	title := "Delete the image " + image.Name
	if !in.Whole {
		title = "Delete " + in.Refs[0]
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: images.KindDelete, Title: title, Resource: domain.Ref{Kind: "image", ID: image.ID, Name: image.Name}, Locks: locks, Input: in, Actor: actor, Key: key},
		func(tx *db.Tx, _ *domain.Job) error { return deletable(tx, image, in) })
}

// deletable refuses while something names the versions.
func deletable(tx *db.Tx, image domain.Image, in images.Deletion) error {
	held, err := tx.HeldImages()
	if err != nil {
		return err
	}
	for i, id := range in.Versions {
		if title := held[id]; title != "" {
			return domain.Errorf(domain.Conflict, "%s is needed by the task “%s”.", in.Refs[i], title).WithFix("Wait for that task to end.")
		}
	}
	templates, _, err := tx.ImageNeeds(in.Versions)
	if err == nil && in.Whole {
		templates, err = tx.TemplatesOfImage(image.ID)
	}
	if err != nil || len(templates) == 0 {
		return err
	}
	e := domain.Errorf(domain.Conflict, "The image %s is what templates make VMs of.", image.Name).WithFix("Delete those templates first, or keep the image.")
	for _, t := range templates {
		e.Reasons = append(e.Reasons, domain.Reason{Subject: t, Msg: "names it"})
	}
	return e
}
