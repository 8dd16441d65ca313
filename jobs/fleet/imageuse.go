package fleet

import (
	"context"
	"encoding/json"
	"fmt"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs/images"
	"novacron/jobs/provision"
)

// uploadKey is the setting that keeps how an upload is to be imported, from the moment it is announced until all of it came in.
func uploadKey(versionID string) string { return "image-upload." + versionID }

func mustText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain fields always encode
	}
	return string(b)
}

func importOf(text string) (images.Import, error) {
	var in images.Import
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return in, domain.Errorf(domain.Internal, "What was announced of the upload cannot be read: %w", err)
	}
	return in, nil
}

func importInput(job domain.Job) (images.Import, error) { return importOf(string(job.Input)) }

// resolveImages settles the versions that disks begin as. refs are their names by id, versions what each disk became, by its place.
func (f *Fleet) resolveImages(ctx context.Context, at string, disks []domain.Disk) (out []domain.Disk, refs map[string]string, versions map[int]domain.ImageVersion, err error) {
	out = append([]domain.Disk(nil), disks...)
	refs, versions = map[string]string{}, map[int]domain.ImageVersion{}
	var p domain.Problems
	for i, d := range out {
		if d.Image == "" {
			continue
		}
		if _, err := f.library(); err != nil {
			return nil, nil, nil, err
		}
		field := fmt.Sprintf("%s.%d", at, i)
		v, err := f.db.ImageByRef(ctx, d.Image)
		if err == nil {
			err = v.Usable()
		}
		if c := domain.CodeOf(err); c == domain.NotFound || c == domain.Conflict {
			p.Add(field+".image", err.Error(), "an image that the library has, as name, name@version or the id of a version")
			continue
		}
		if err != nil {
			return nil, nil, nil, err
		}
		out[i] = d.SettleImage(v, &p, field)
		refs[v.ID], versions[i] = v.Ref(), v
	}
	return out, refs, versions, p.Err()
}

// archOf gives a VM the architecture of the images that its disks begin as.
func archOf(spec domain.VMSpec, versions map[int]domain.ImageVersion) (string, error) {
	arch := spec.Arch
	var p domain.Problems
	for i, v := range versions {
		if spec.Disks[i].Device == "cdrom" {
			continue
		}
		if arch == "" {
			arch = v.Arch
		}
		if v.Arch != arch {
			p.Add(fmt.Sprintf("disks.%d.image", i), fmt.Sprintf("%s is for %s; the VM is %s.", v.Ref(), v.Arch, arch), "an image for "+arch)
		}
	}
	return arch, p.Err()
}

// rememberImages writes which image each disk began as, and holds the images while the job runs.
func rememberImages(tx *db.Tx, jobID, vmID string, spec domain.VMSpec, versions map[int]domain.ImageVersion) error {
	for i, v := range versions {
		if err := tx.HoldImage(jobID, v.ID); err != nil {
			return err
		}
		if err := tx.InsertImageUse(vmID, i, v.ID, spec.Disks[i].Linked || spec.Disks[i].Device == "cdrom"); err != nil {
			return err
		}
	}
	return nil
}

// writable refuses disks that would let a VM write to what others are built on.
func (f *Fleet) writable(ctx context.Context, at string, disks []domain.Disk, volumes []domain.Volume) error {
	byName, byPath := provision.Index(volumes)
	var p domain.Problems
	for i, d := range disks {
		if d.New() || d.Image != "" || provision.Shared(d) {
			continue
		}
		v, ok := provision.VolumeOf(d, byName, byPath)
		if !ok && d.Pool != "" && d.Source != "" {
			v, ok = byName[d.Pool+"/"+d.Source]
		}
		if !ok {
			continue
		}
		why, err := f.db.Frozen(ctx, v.PoolID, v.Name)
		if err != nil {
			return err
		}
		if why != "" {
			p.Add(fmt.Sprintf("%s.%d.source", at, i), v.Name+" "+why+", so nobody may write to it.", "another volume, or a new disk that begins as the image")
		}
	}
	return p.Err()
}
