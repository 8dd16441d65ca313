package blocks_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

func ptr[T any](v T) *T { return &v }

// volume finds the row of a volume.
func volume(t testing.TB, w *fleettest.World, name string) domain.Volume {
	t.Helper()
	vols, err := w.DB.Volumes(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(vols, func(v domain.Volume) bool { return v.Name == name })
	if i < 0 {
		t.Fatalf("no volume %s among %+v", name, vols)
	}
	return vols[i]
}

// refresh has the rows follow what the test did on the host.
func refresh(t testing.TB, w *fleettest.World, f *hvtest.Fake, hostID string) {
	t.Helper()
	if err := w.Rec.Inventory(t.Context(), f, hostID, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
}

func write(w *fleettest.World, ctx context.Context, v domain.Volume, offset int64, part []byte, total int64, sum string) (domain.Job, int64, error) {
	job, up, err := w.Fleet.Content().Write(ctx, fleettest.Actor, v.ID, fleet.Upload{Offset: offset, Total: total, SHA256: sum, Body: bytes.NewReader(part)})
	return job, up.Received, err
}

type breaking struct{ io.Reader }

func (b breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = errors.New("the browser left")
	}
	return n, err
}

func TestUploadInPartsAndDownload(t *testing.T) {
	w, f, h := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "iso", Format: "raw", CapacityBytes: 1 << 20})
	f.SetContent("default", "iso", bytes.Repeat([]byte{9}, 1<<20))
	refresh(t, w, f, h.ID)
	v := volume(t, w, "iso")
	content := make([]byte, 300<<10)
	for i := range content {
		content[i] = byte(i * 7)
	}
	hash := sha256.Sum256(content)
	sum, total := hex.EncodeToString(hash[:]), int64(len(content))

	job, got, err := write(w, t.Context(), v, 0, content[:100<<10], total, sum)
	if err != nil || got != 100<<10 || job.State.Ended() {
		t.Fatal(job.State, got, err)
	}
	for what, try := range map[string]func() error{
		"a part twice":    func() error { _, _, err := write(w, t.Context(), v, 0, content[:1], total, sum); return err },
		"another content": func() error { _, _, err := write(w, t.Context(), v, got, content[:1], total+1, ""); return err },
		"a move meanwhile": func() error {
			_, err := w.Fleet.ChecksumVolume(t.Context(), fleettest.Actor, v.ID, "")
			return err
		},
	} {
		if err := try(); !domain.Is(err, domain.Conflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A part that breaks off: what came is kept.
	_, up, err := w.Fleet.Content().Write(t.Context(), fleettest.Actor, v.ID, fleet.Upload{Offset: got, Total: total, Body: breaking{bytes.NewReader(content[got : got+50<<10])}})
	if err != nil || up.Received != got+50<<10 {
		t.Fatal(up.Received, err)
	}
	if p, err := w.Fleet.Content().Progress(t.Context(), v.ID); err != nil || p.Received != up.Received {
		t.Error(p, err)
	}
	job, got, err = write(w, t.Context(), v, up.Received, content[up.Received:], total, "")
	if err != nil || got != total {
		t.Fatal(got, err)
	}
	w.Succeed(t, job, nil)
	if have := f.Content("default", "iso"); !bytes.Equal(have[:total], content) || !bytes.Equal(have[total:], make([]byte, len(have)-len(content))) {
		t.Error("the volume has something else")
	}
	if c, err := w.DB.Checksum(t.Context(), v.ID); err != nil || c.SHA256 != sum || c.Bytes != total {
		t.Error(c, err)
	}
	if _, size, err := w.Fleet.Content().Size(t.Context(), v.ID); err != nil || size != 1<<20 {
		t.Error(size, err)
	}
	r, err := w.Fleet.Content().Read(t.Context(), v.ID, 10, 100)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, content[10:110]) {
		t.Error(len(b), err)
	}
	job, err = w.Fleet.ChecksumVolume(t.Context(), fleettest.Actor, v.ID, "")
	w.Succeed(t, job, err)
	if c, _ := w.DB.Checksum(t.Context(), v.ID); c.Bytes != 1<<20 || c.SHA256 == sum {
		t.Error(c)
	}
}

func TestUploadsThatAreRefused(t *testing.T) {
	w, f, h := fleettest.New(t)
	for _, name := range []string{"plain", "base"} {
		f.AddVolume(domain.Volume{Pool: "default", Name: name, Format: "raw", CapacityBytes: 1 << 20})
	}
	f.AddVolume(domain.Volume{Pool: "default", Name: "top", Format: "qcow2", CapacityBytes: 1 << 20, Backing: "/var/lib/libvirt/images/base", BackingFormat: "raw"})
	f.AddVolume(domain.Volume{Pool: "default", Name: "secret", Format: "raw", CapacityBytes: 1 << 20, Encrypted: true})
	w.Make(t, fleettest.Spec("web-1"), true)
	refresh(t, w, f, h.ID)
	for name, code := range map[string]domain.Code{"web-1.qcow2": domain.Conflict, "base": domain.Conflict, "secret": domain.Conflict} {
		if _, _, err := write(w, t.Context(), volume(t, w, name), 0, []byte("x"), 1, ""); domain.CodeOf(err) != code {
			t.Errorf("%s: %v", name, err)
		}
	}
	v := volume(t, w, "plain")
	for what, u := range map[string]fleet.Upload{"too large": {Total: 1<<20 + 1}, "nothing": {}, "no checksum": {Total: 1, SHA256: "x"}} {
		u.Body = strings.NewReader("x")
		if _, _, err := w.Fleet.Content().Write(t.Context(), fleettest.Actor, v.ID, u); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := write(w, t.Context(), v, 5, []byte("x"), 10, ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("from the middle: %v", err)
	}
	// A wrong checksum, an image that names another file, a full disk: each undone, and the volume is empty again.
	evil := make([]byte, 4096)
	copy(evil, "QFI\xfb\x00\x00\x00\x03")
	evil[15], evil[19] = 104, 11
	copy(evil[104:], "/etc/passwd")
	for what, c := range map[string]struct {
		content []byte
		sum     string
		code    domain.Code
	}{
		"a wrong checksum": {[]byte("hello"), strings.Repeat("a", 64), domain.Invalid},
		"a backing file":   {evil, "", domain.Invalid},
	} {
		job, _, err := write(w, t.Context(), v, 0, c.content, int64(len(c.content)), c.sum)
		w.Undone(t, job, err, c.code)
		if bytes.ContainsAny(f.Content("default", "plain"), "heQF") {
			t.Errorf("%s is still there", what)
		}
		if _, err := w.Fleet.Content().Progress(t.Context(), v.ID); !domain.Is(err, domain.NotFound) {
			t.Errorf("%s: the upload is still there: %v", what, err)
		}
	}
	f.Fail("WriteVolume.data", domain.Errorf(domain.Conflict, "The host could not write: no space left on device."), 1)
	job, _, err := write(w, t.Context(), v, 0, []byte("hello"), 5, "")
	if !domain.Is(err, domain.Conflict) {
		t.Error(err)
	}
	w.Undone(t, job, nil, domain.Conflict)
	f.Clear()
	// A host that is away for a moment costs nothing but another try.
	f.Fail("WriteVolume.data", domain.Errorf(domain.Unavailable, "Gone."), 1)
	if _, _, err := write(w, t.Context(), v, 0, []byte("hello"), 5, ""); !domain.Is(err, domain.Unavailable) {
		t.Error(err)
	}
	job, _, err = write(w, t.Context(), v, 0, []byte("hello"), 5, "")
	w.Succeed(t, job, err)
}

func TestUploadIsCancelled(t *testing.T) {
	w, f, h := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "v", Format: "raw", CapacityBytes: 1 << 20})
	refresh(t, w, f, h.ID)
	v := volume(t, w, "v")
	in, out := io.Pipe()
	type answer struct {
		job domain.Job
		err error
	}
	done := make(chan answer, 1)
	go func() {
		job, _, err := w.Fleet.Content().Write(t.Context(), fleettest.Actor, v.ID, fleet.Upload{Total: 10, Body: in})
		done <- answer{job, err}
	}()
	out.Write([]byte("abc"))
	up, err := w.Fleet.Content().Progress(t.Context(), v.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := write(w, t.Context(), v, 0, []byte("x"), 10, ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("two at once: %v", err)
	}
	if err := w.Engine.Cancel(t.Context(), up.JobID, fleettest.Actor); err != nil {
		t.Fatal(err)
	}
	out.CloseWithError(errors.New("gone"))
	<-done
	job, err := w.DB.Job(t.Context(), up.JobID)
	job = w.Wait(t, job, err)
	if job.State != domain.JobUndone || bytes.Contains(f.Content("default", "v"), []byte("a")) {
		t.Errorf("%s, %q", job.State, f.Content("default", "v"))
	}
	w.Free(t, job.Locks...)
}

// chained makes a running VM whose disk stands on two images, and a second pool.
func chained(t testing.TB, w *fleettest.World, start bool) (*hvtest.Fake, domain.Host, domain.VM) {
	spec := fleettest.Spec("web-1")
	spec.Disks = []domain.Disk{{Source: "/var/lib/libvirt/images/top.qcow2", Format: "qcow2", Target: "vda"}}
	f, h := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: spec, Start: false})
	f.AddPool(domain.Pool{UUID: domain.NewUUID(), Name: "fast", Type: "dir", Active: true, Target: "/fast", CapacityBytes: domain.TiB, AvailableBytes: domain.TiB})
	f.AddVolume(domain.Volume{Pool: "default", Name: "base.raw", Format: "raw", CapacityBytes: domain.GiB})
	f.AddVolume(domain.Volume{Pool: "default", Name: "mid.qcow2", Format: "qcow2", CapacityBytes: domain.GiB, Backing: "/var/lib/libvirt/images/base.raw", BackingFormat: "raw"})
	f.AddVolume(domain.Volume{Pool: "default", Name: "top.qcow2", Format: "qcow2", CapacityBytes: domain.GiB, Backing: "/var/lib/libvirt/images/mid.qcow2", BackingFormat: "qcow2"})
	vm := w.VM(t, "web-1")
	if start {
		if err := f.Start(t.Context(), vm.UUID); err != nil {
			t.Fatal(err)
		}
	}
	refresh(t, w, f, h.ID)
	if _, err := w.Rec.Guest(t.Context(), f, h.ID, vm.UUID, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
	f.SlowBlocks(2)
	return f, h, w.VM(t, "web-1")
}

func sources(t testing.TB, f *hvtest.Fake) (config, live string) {
	t.Helper()
	g, ok := fleettest.Guest(f, "web-1")
	if !ok {
		t.Fatal("the VM is gone")
	}
	if g.Live != nil {
		live = g.Live.Disks[0].Source
	}
	return g.Config.Disks[0].Source, live
}

func names(f *hvtest.Fake) string {
	var out []string
	for _, v := range f.AllVolumes() {
		out = append(out, v.Pool+"/"+v.Name)
	}
	return strings.Join(out, " ")
}

const allThree = "default/base.raw default/mid.qcow2 default/top.qcow2"

func TestSweepMove(t *testing.T) {
	for name, runs := range map[string]bool{"while it runs": true, "while it is off": false} {
		t.Run(name, func(t *testing.T) {
			jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
				w := fleettest.Bare(t, reconcile.Options{})
				f, _, vm := chained(t, w, runs)
				v := volume(t, w, "top.qcow2")
				return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
					return front.MoveVolume(ctx, fleettest.Actor, v.ID, fleet.MoveVolume{Pool: "fast"})
				}, func(t testing.TB, job domain.Job) {
					w.Free(t, job.Locks...)
					config, live := sources(t, f)
					want, vols := "/var/lib/libvirt/images/top.qcow2", allThree
					if job.State == domain.JobSucceeded {
						want, vols = "/fast/top.qcow2", "default/base.raw default/mid.qcow2 fast/top.qcow2"
					}
					if config != want || runs && live != want || names(f) != vols {
						t.Errorf("%s: config %s, live %s, volumes %s", job.State, config, live, names(f))
					}
					if runs {
						if b, err := f.BlockJob(t.Context(), vm.UUID, "vda"); err != nil || b.Kind != "" {
							t.Errorf("left behind: %+v %v", b, err)
						}
					}
				})
			})
		})
	}
}

func TestSweepFlattenAndCommit(t *testing.T) {
	for name, c := range map[string]struct {
		ask  func(ctx context.Context, front *fleet.Fleet, vmID string) (domain.Job, error)
		want string // chain when it succeeded
		vols string
	}{
		"flatten": {func(ctx context.Context, front *fleet.Fleet, id string) (domain.Job, error) {
			return front.FlattenDisk(ctx, fleettest.Actor, id, "vda", "", "")
		}, "top.qcow2", allThree},
		"rebase": {func(ctx context.Context, front *fleet.Fleet, id string) (domain.Job, error) {
			return front.FlattenDisk(ctx, fleettest.Actor, id, "vda", "/var/lib/libvirt/images/base.raw", "")
		}, "top.qcow2 base.raw", allThree},
		"commit": {func(ctx context.Context, front *fleet.Fleet, id string) (domain.Job, error) {
			return front.CommitDisk(ctx, fleettest.Actor, id, "vda", "", "", "")
		}, "mid.qcow2 base.raw", "default/base.raw default/mid.qcow2"},
		"commit from the middle": {func(ctx context.Context, front *fleet.Fleet, id string) (domain.Job, error) {
			return front.CommitDisk(ctx, fleettest.Actor, id, "vda", "/var/lib/libvirt/images/base.raw", "/var/lib/libvirt/images/mid.qcow2", "")
		}, "top.qcow2 base.raw", "default/base.raw default/top.qcow2"},
	} {
		t.Run(name, func(t *testing.T) {
			jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
				w := fleettest.Bare(t, reconcile.Options{})
				f, _, vm := chained(t, w, true)
				return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) { return c.ask(ctx, front, vm.ID) }, func(t testing.TB, job domain.Job) {
					w.Free(t, job.Locks...)
					b, err := f.BlockJob(t.Context(), vm.UUID, "vda")
					if err != nil || b.Kind != "" {
						t.Errorf("left behind: %+v %v", b, err)
					}
					var chain []string
					for _, p := range b.Chain {
						chain = append(chain, filepath.Base(p))
					}
					got := strings.Join(chain, " ")
					if job.State == domain.JobSucceeded && (got != c.want || names(f) != c.vols) {
						t.Errorf("the chain is %s, volumes %s", got, names(f))
					}
				})
			})
		})
	}
}

func TestWhatWouldBreakOthersIsRefused(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	w.Run(t)
	f, h, vm := chained(t, w, true)
	f.AddVolume(domain.Volume{Pool: "default", Name: "other.qcow2", Format: "qcow2", CapacityBytes: domain.GiB, Backing: "/var/lib/libvirt/images/mid.qcow2", BackingFormat: "qcow2"})
	refresh(t, w, f, h.ID)
	ctx, a := t.Context(), fleettest.Actor
	for what, err := range map[string]error{
		"moving what others stand on":    second(w.Fleet.MoveVolume(ctx, a, volume(t, w, "mid.qcow2").ID, fleet.MoveVolume{Pool: "fast"})),
		"committing into it":             second(w.Fleet.CommitDisk(ctx, a, vm.ID, "vda", "", "", "")),
		"attaching a disk of another":    second(w.Fleet.AttachDisk(ctx, a, vm.ID, volume(t, w, "top.qcow2").ID, domain.Disk{}, "")),
		"attaching what others stand on": second(w.Fleet.AttachDisk(ctx, a, vm.ID, volume(t, w, "base.raw").ID, domain.Disk{}, "")),
		"detaching the boot disk":        second(w.Fleet.DetachDisk(ctx, a, vm.ID, "vda", false, false, "")),
		"downloading what is written":    second(w.Fleet.Content().Read(ctx, volume(t, w, "top.qcow2").ID, 0, 0)),
	} {
		if !domain.Is(err, domain.Conflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"a pool that is not there": second(w.Fleet.MoveVolume(ctx, a, volume(t, w, "top.qcow2").ID, fleet.MoveVolume{Pool: "none"})),
		"where it is":              second(w.Fleet.MoveVolume(ctx, a, volume(t, w, "top.qcow2").ID, fleet.MoveVolume{Pool: "default"})),
		"a base that is none":      second(w.Fleet.FlattenDisk(ctx, a, vm.ID, "vda", "/etc/passwd", "")),
		"nothing to change":        second(w.Fleet.ChangeDisk(ctx, a, vm.ID, domain.DiskChange{Target: "vda"}, "")),
		"a cache that is none":     second(w.Fleet.ChangeDisk(ctx, a, vm.ID, domain.DiskChange{Target: "vda", Cache: ptr("warm")}, "")),
	} {
		if !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestDisksOfAVM(t *testing.T) {
	w, f, h := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "data.raw", Format: "raw", CapacityBytes: domain.GiB})
	f.AddVolume(domain.Volume{Pool: "default", Name: "a.iso", Format: "raw", CapacityBytes: domain.MiB})
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	other := w.Make(t, fleettest.Spec("web-2"), false)
	refresh(t, w, f, h.ID)
	data := volume(t, w, "data.raw")
	job, err := w.Fleet.AttachDisk(t.Context(), fleettest.Actor, vm.ID, data.ID, domain.Disk{Cache: "none"}, "")
	w.Succeed(t, job, err)
	if _, err := w.Fleet.AttachDisk(t.Context(), fleettest.Actor, other.ID, data.ID, domain.Disk{}, ""); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "web-1") {
		t.Errorf("a disk of another: %v", err)
	}
	tune := domain.DiskTune{TotalIOPS: 100, WriteBytesPerSec: domain.MiB}
	job, err = w.Fleet.ChangeDisk(t.Context(), fleettest.Actor, vm.ID, domain.DiskChange{Target: "vdb", Tune: &tune, Cache: ptr("writeback"), Bus: ptr("scsi")}, "")
	w.Succeed(t, job, err)
	disks, err := w.Fleet.Disks(t.Context(), vm.ID)
	if err != nil || len(disks) != 2 || disks[1].Tune != tune || disks[1].Cache != "writeback" || disks[1].Bus != "scsi" || disks[1].Target != "sda" || disks[1].Volume.ID != data.ID || !disks[0].Boots {
		t.Fatalf("%+v %v", disks, err)
	}
	if live := w.VM(t, "web-1").Live.Disks[1]; live.Tune != tune || live.Cache != "none" || live.Bus != "virtio" {
		t.Errorf("live it is %+v", live)
	}
	job, err = w.Fleet.AttachDisk(t.Context(), fleettest.Actor, vm.ID, volume(t, w, "a.iso").ID, domain.Disk{Device: "cdrom"}, "")
	w.Succeed(t, job, err)
	cd := w.VM(t, "web-1").Config.Disks[2].Target
	for _, id := range []string{"", volume(t, w, "a.iso").ID} {
		job, err = w.Fleet.ChangeMedia(t.Context(), fleettest.Actor, vm.ID, cd, id, "", "")
		w.Succeed(t, job, err)
	}
	job, err = w.Fleet.DetachDisk(t.Context(), fleettest.Actor, vm.ID, "sda", true, false, "")
	w.Succeed(t, job, err)
	if strings.Contains(names(f), "data.raw") {
		// the running guest holds it under its old name until the next start
		t.Log("kept:", names(f))
	}
}

func TestEncryptedDisksAndTheirSecrets(t *testing.T) {
	w, f, h := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	job, err := w.Fleet.AttachDisk(t.Context(), fleettest.Actor, vm.ID, "", domain.Disk{Pool: "default", SizeBytes: domain.GiB, Encrypted: true}, "")
	w.Succeed(t, job, err)
	d := w.VM(t, "web-1").Config.Disks[1]
	pass := f.Secret(d.Secret)
	if d.Secret == "" || len(pass) < 32 {
		t.Fatalf("%+v, %d characters", d, len(pass))
	}
	v := volume(t, w, d.Source[strings.LastIndexByte(d.Source, '/')+1:])
	if id, err := w.DB.VolumeSecret(t.Context(), v.ID); !v.Encrypted || err != nil || id != d.Secret {
		t.Errorf("%+v: %s %v", v, id, err)
	}
	f.LoseSecrets() // its daemon was started again
	job, err = w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStart, fleet.ActOptions{})
	w.Succeed(t, job, err)
	if f.Secret(d.Secret) != pass {
		t.Error("the host did not get the secret again")
	}
	f.AddPool(domain.Pool{UUID: domain.NewUUID(), Name: "fast", Type: "dir", Active: true, Target: "/fast", CapacityBytes: domain.TiB, AvailableBytes: domain.TiB})
	refresh(t, w, f, h.ID)
	job, err = w.Fleet.MoveVolume(t.Context(), fleettest.Actor, v.ID, fleet.MoveVolume{Pool: "fast"})
	w.Succeed(t, job, err)
	if moved := volume(t, w, v.Name); moved.Pool != "fast" || !moved.Encrypted || second(w.DB.VolumeSecret(t.Context(), moved.ID)) != nil {
		t.Errorf("%+v", moved)
	}
	// Nothing of it lies anywhere in the clear.
	open, err := filepath.Glob("/proc/self/fd/*")
	var files []string
	for _, fd := range open {
		if to, err := os.Readlink(fd); err == nil && strings.Contains(to, t.Name()) {
			files = append(files, to)
		}
	}
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || bytes.Contains(b, []byte(pass)) {
			t.Errorf("%s has the passphrase (%v)", file, err)
		}
	}
}

// Somebody brings the content whenever the job wants some.
func TestSweepUpload(t *testing.T) {
	content := []byte(strings.Repeat("novacron", 1000))
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, h := w.Adopt(t, "a", hvtest.FakeOptions{})
		f.AddVolume(domain.Volume{Pool: "default", Name: "v", Format: "raw", CapacityBytes: 1 << 20})
		refresh(t, w, f, h.ID)
		v := volume(t, w, "v")
		var front atomic.Pointer[fleet.Fleet] // of the engine that works now
		ctx, cancel := context.WithCancel(context.Background())
		done, begun := make(chan struct{}), make(chan struct{})
		fixture := jobstest.Fixture{DB: w.DB, Register: func(e *jobs.Engine) {
			on := fleet.New(w.DB, e, time.Now)
			on.Register(w.Pool, w.Dialer, w.Rec)
			front.Store(on)
		}, Enqueue: func(ctx context.Context, _ *jobs.Engine) (domain.Job, error) {
			defer close(begun)
			return front.Load().Content().Begin(ctx, fleettest.Actor, v.ID, fleet.Upload{Total: int64(len(content))})
		}, Check: func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			if _, err := w.DB.VolumeUpload(t.Context(), v.ID); !domain.Is(err, domain.NotFound) {
				t.Errorf("the upload is still there: %v", err)
			}
			have := bytes.TrimRight(f.Content("default", "v"), "\x00")
			if job.State == domain.JobSucceeded && !bytes.Equal(have, content) || job.State == domain.JobUndone && len(have) > 0 {
				t.Errorf("%s with %d bytes", job.State, len(have))
			}
		}}
		go func() {
			defer close(done)
			select {
			case <-begun:
			case <-ctx.Done():
				return
			}
			for ctx.Err() == nil {
				up, err := w.DB.VolumeUpload(ctx, v.ID)
				if err != nil {
					return
				}
				at := max(0, up.Received)
				_, _, err = front.Load().Content().Write(ctx, fleettest.Actor, v.ID, fleet.Upload{Job: up.JobID, Offset: at, Total: up.Total, Body: bytes.NewReader(content[at:min(at+1000, up.Total)])})
				if domain.Is(err, domain.NotFound) {
					return
				}
			}
		}()
		t.Cleanup(func() { cancel(); <-done })
		return fixture
	})
}
