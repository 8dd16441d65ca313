package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/jobs/blocks"
	"novacron/jobs/fleet"
)

// contentIdle is how long a client that sends or takes content may pause.
const contentIdle = time.Minute

// VMDisk is a disk of a VM as its definition has it.
type VMDisk struct {
	domain.Disk
	VolumeID string `json:"volume_id,omitempty" doc:"The volume behind it, when a pool of the host has it"`
	Bytes    int64  `json:"capacity_bytes,omitempty"`
	Running  bool   `json:"running" doc:"The running VM has it too"`
	Boots    bool   `json:"boots,omitempty" doc:"The VM boots from it"`
}

// DiskAttach asks for a disk: an existing volume, or a new one.
type DiskAttach struct {
	Volume    string          `json:"volume,omitempty" maxLength:"64" doc:"Id of an existing volume on the VM's host" example:"vol_2f6c1b"`
	Pool      string          `json:"pool,omitempty" maxLength:"255" doc:"Instead: where a new volume is made"`
	Name      string          `json:"name,omitempty" maxLength:"255" doc:"Of the new volume; chosen when empty"`
	SizeBytes int64           `json:"size_bytes,omitempty" doc:"Of the new volume"`
	Format    string          `json:"format,omitempty" enum:"qcow2,raw" doc:"Of the new volume"`
	Encrypted bool            `json:"encrypted,omitempty" doc:"The new volume is encrypted with LUKS; NovaCron makes the passphrase and keeps it sealed"`
	Device    string          `json:"device,omitempty" enum:"disk,cdrom"`
	Bus       string          `json:"bus,omitempty" enum:"virtio,scsi,sata,ide,usb"`
	Target    string          `json:"target,omitempty" maxLength:"16" doc:"vda, sdb …; chosen when empty"`
	Cache     string          `json:"cache,omitempty" enum:"default,none,writeback,writethrough,directsync,unsafe"`
	Discard   string          `json:"discard,omitempty" enum:"unmap,ignore"`
	IOThread  int             `json:"io_thread,omitempty" minimum:"0" maximum:"64"`
	Serial    string          `json:"serial,omitempty" maxLength:"36"`
	ReadOnly  bool            `json:"read_only,omitempty"`
	Shareable bool            `json:"shareable,omitempty" doc:"Other VMs may have it too, all of them shareable"`
	Tune      domain.DiskTune `json:"tune,omitempty"`
}

// DiskPatch asks for changes of a disk; what is left out stays. Limits take hold at once, the rest at the next start.
type DiskPatch struct {
	Bus      *string          `json:"bus,omitempty" enum:"virtio,scsi,sata,ide,usb"`
	Cache    *string          `json:"cache,omitempty" enum:"default,none,writeback,writethrough,directsync,unsafe"`
	Discard  *string          `json:"discard,omitempty" enum:"unmap,ignore"`
	IOThread *int             `json:"io_thread,omitempty" minimum:"0" maximum:"64" doc:"0: none"`
	Serial   *string          `json:"serial,omitempty" maxLength:"36"`
	Tune     *domain.DiskTune `json:"tune,omitempty" doc:"All limits; what is left out has none"`
}

// DiskMedia is what lies in a CD-ROM drive.
type DiskMedia struct {
	Volume string `json:"volume,omitempty" maxLength:"64" doc:"Id of a volume; with no source either, the drive is emptied"`
	Source string `json:"source,omitempty" maxLength:"4096" doc:"Instead: a path on the host"`
}

// DiskFlatten says what stays below.
type DiskFlatten struct {
	Base string `json:"base,omitempty" maxLength:"4096" doc:"Path of the image that the disk goes on standing on; empty: none"`
}

// DiskCommit says what is written where.
type DiskCommit struct {
	Base string `json:"base,omitempty" maxLength:"4096" doc:"Path of the image that takes it in; empty: the next one below the disk"`
	Top  string `json:"top,omitempty" maxLength:"4096" doc:"Path of the image that goes; empty: the disk's own"`
}

// VolumeMove says where a volume goes.
type VolumeMove struct {
	Pool      string `json:"pool" maxLength:"255" doc:"Id or name of a pool of the same host" example:"fast"`
	Name      string `json:"name,omitempty" maxLength:"255" doc:"Of the new volume; empty: the same"`
	Format    string `json:"format,omitempty" enum:"qcow2,raw"`
	Keep      bool   `json:"keep,omitempty" doc:"The old volume stays"`
	Bandwidth int64  `json:"bandwidth,omitempty" minimum:"0" doc:"Bytes a second while the VM runs; 0: as much as there is"`
}

// VolumeChecksum is what a volume's content was found to be.
type VolumeChecksum struct {
	SHA256 string    `json:"sha256"`
	Bytes  int64     `json:"bytes"`
	At     time.Time `json:"at"`
}

// DiskPath names a disk of a VM.
type DiskPath struct {
	VMPath
	Target string `path:"target" maxLength:"16" doc:"vda, sdb …"`
}

type volumeUpload struct {
	VolumePath
	ChangeParams
	Range  string `header:"Content-Range" maxLength:"100" doc:"bytes FIRST-LAST/TOTAL, for one part of it" example:"bytes 0-8388607/20000000"`
	Header string `header:"X-Content-SHA256" maxLength:"64" doc:"SHA-256 of the whole content, in hexadecimal; checked at the end"`
	SHA256 string `query:"sha256" maxLength:"64" doc:"The same"`

	length  int64
	body    io.Reader
	refused func() // before the answer that says no
}

// Resolve takes the body as a stream: huma itself reads bodies into memory.
func (in *volumeUpload) Resolve(ctx huma.Context) []error {
	c := humaecho.Unwrap(ctx)
	in.length = c.Request().ContentLength
	in.body = Patient(c.Request(), c.Response())
	in.refused = func() { Swallow(c.Request(), in.body) }
	return nil
}

// Patient gives a request's body with a deadline that moves on as long as something comes.
func Patient(r *http.Request, w http.ResponseWriter) io.Reader {
	return &patient{r.Body, http.NewResponseController(w)}
}

// swallowMost is more than a part of the pages' uploads.
const swallowMost = 48 << 20

// Swallow reads what is left of a part that was refused, so that its sender hears why: a connection that is closed on somebody who still sends tells nothing,
// and he would try again. Who asked first (Expect) has heard before sending.
func Swallow(r *http.Request, body io.Reader) {
	if r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, body, swallowMost) // a sender that leaves needs no answer
	}
}

// patient reads a request's body as long as something comes.
type patient struct {
	io.Reader
	ctl *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.ctl.SetReadDeadline(time.Now().Add(contentIdle)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := p.Reader.Read(b)
	if err != nil { // a deadline that passes after the body is taken for a client that left
		_ = p.ctl.SetReadDeadline(time.Time{})
	}
	return n, err
}

type volumeUploaded struct {
	Location string `header:"Location" doc:"Where the job is"`
	Offset   int64  `header:"Upload-Offset" doc:"How many bytes are there"`
	Length   int64  `header:"Upload-Length" doc:"How many there will be"`
	Body     Job
}

type volumeUploadState struct {
	Offset int64  `header:"Upload-Offset" doc:"How many bytes are there; the next part begins here"`
	Length int64  `header:"Upload-Length" doc:"How many there will be"`
	Job    string `header:"Upload-Job" doc:"The job that waits for them"`
	Ranges string `header:"Accept-Ranges"`
	Size   string `header:"X-Content-Length" doc:"How many bytes a download has, when nothing is on its way in"`
}

func (s *server) blocks() {
	s.volumeContent()
	s.volumeJobs()
	s.vmDisks()
}

func (s *server) volumeContent() {
	register(s, op{id: "upload-volume", method: http.MethodPut, path: "/volumes/{id}/content", tag: "Volumes", perm: access.VolumeContent, status: 202, summary: "Upload a volume's content",
		doc: "The bytes as they are (the qcow2 file, the raw disk), in one request or in parts with Content-Range, one after the other. What came stays when the connection breaks: " +
			"HEAD says how far it is, and the next part goes on there. The job holds the volume until everything is there, and checks it."},
		func(ctx context.Context, in *volumeUpload) (*volumeUploaded, error) {
			offset, total, err := blocks.ContentRange(in.Range, in.length)
			if err != nil {
				in.refused()
				return nil, err
			}
			sum := in.Header
			if in.SHA256 != "" {
				sum = in.SHA256
			}
			job, up, err := s.Fleet.Content().Write(ctx, actor(ctx), in.ID, fleet.Upload{Offset: offset, Total: total, SHA256: sum, Body: in.body})
			if err != nil {
				in.refused()
				return nil, err
			}
			if up.Received < up.Total {
				in.Wait = "" // the job ends when the rest has come
			}
			out, err := s.accepted(ctx, in.ChangeParams, func(string) (domain.Job, error) { return job, nil })
			if err != nil {
				return nil, err
			}
			return &volumeUploaded{Location: out.Location, Offset: up.Received, Length: up.Total, Body: out.Body}, nil
		})
	register(s, op{id: "stat-volume-content", method: http.MethodHead, path: "/volumes/{id}/content", tag: "Volumes", perm: access.VolumeRead, status: 200, summary: "Say how far an upload is",
		doc: "Upload-Offset and Upload-Length are those of the upload under way; without one, X-Content-Length is the size of a download."},
		func(ctx context.Context, in *VolumePath) (*volumeUploadState, error) {
			up, err := s.Fleet.Content().Progress(ctx, in.ID)
			if err == nil {
				return &volumeUploadState{Offset: max(0, up.Received), Length: up.Total, Job: up.JobID, Ranges: "bytes"}, nil
			}
			if !domain.Is(err, domain.NotFound) {
				return nil, err
			}
			_, n, err := s.Fleet.Content().Size(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &volumeUploadState{Ranges: "bytes", Size: strconv.FormatInt(n, 10)}, nil
		})
	registerWith(s, op{id: "download-volume", method: http.MethodGet, path: "/volumes/{id}/content", tag: "Volumes", perm: access.VolumeContent, status: 200, summary: "Download a volume's content",
		doc: "The bytes as they are; holes are zeros. Range gives a part (206). A volume that a running VM writes to is refused."},
		func(h *huma.Operation) {
			bytes := map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}
			h.Responses = map[string]*huma.Response{"200": {Description: "All of it", Content: bytes}, "206": {Description: "The part that was asked for", Content: bytes}, "409": conflict()}
		},
		func(ctx context.Context, in *struct {
			VolumePath
			Range string `header:"Range" maxLength:"100" doc:"bytes=FIRST-LAST" example:"bytes=0-1023"`
		}) (*huma.StreamResponse, error) {
			v, size, err := s.Fleet.Content().Size(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			offset, length, part, err := blocks.Range(in.Range, size)
			if err != nil {
				return nil, err
			}
			if size == 0 {
				return nil, domain.Errorf(domain.Conflict, "The volume %s is empty.", v.Name)
			}
			content, err := s.Fleet.Content().Read(ctx, in.ID, offset, length)
			if err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				defer content.Close()
				for name, value := range ContentHeaders(v.Name, offset, length, size, part) {
					hc.SetHeader(name, value)
				}
				if part {
					hc.SetStatus(http.StatusPartialContent)
				}
				SendContent(humaecho.Unwrap(hc), hc.BodyWriter(), content, func(err error) {
					s.log.WarnContext(ctx, "a download broke off", "volume", in.ID, "error", err)
				})
			}}, nil
		})
}

// ContentHeaders say what a download is; part tells that it is not the whole.
func ContentHeaders(name string, offset, length, size int64, part bool) map[string]string {
	out := map[string]string{
		"Content-Type": "application/octet-stream", "Content-Disposition": mime.FormatMediaType("attachment", map[string]string{"filename": name}),
		"Content-Length": strconv.FormatInt(length, 10), "Accept-Ranges": "bytes", "Cache-Control": "no-store",
	}
	if part {
		out["Content-Range"] = fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, size)
	}
	return out
}

// SendContent copies content to a client that may be slow but not gone. What breaks off aborts the answer, so that nobody takes a part for the whole. On a plain
// connection a content that can hand itself on does, which saves a copy of each byte in each direction; to is c's answer as the caller has it.
func SendContent(c echo.Context, to io.Writer, content io.Reader, broke func(error)) {
	ctl := http.NewResponseController(c.Response())
	err := sendDirect(c, ctl, to, content)
	if err == errNotDirect {
		err = sendPieces(ctl, to, content)
	}
	switch {
	case err == nil:
		_ = ctl.SetWriteDeadline(time.Time{}) // not every connection has one
	case !errors.As(err, new(clientLeft)):
		broke(err)
		panic(http.ErrAbortHandler)
	}
}

// clientLeft is why nobody takes the content any more.
type clientLeft struct{ error }

var errNotDirect = errors.New("the content cannot hand itself on")

func sendPieces(ctl *http.ResponseController, to io.Writer, content io.Reader) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := content.Read(buf)
		if n > 0 {
			_ = ctl.SetWriteDeadline(time.Now().Add(contentIdle))
			if _, err := to.Write(buf[:n]); err != nil {
				return clientLeft{err}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sendDirect gives the connection itself to a content that can write itself to one.
func sendDirect(c echo.Context, ctl *http.ResponseController, to io.Writer, content io.Reader) error {
	from, ok := content.(io.WriterTo)
	if !ok || c.Request().TLS != nil {
		return errNotDirect
	}
	inner, ok := c.Response().Writer.(io.ReaderFrom)
	if !ok {
		return errNotDirect
	}
	if _, err := to.Write(nil); err != nil { // the status and the header
		return clientLeft{err}
	}
	d := &directTo{inner: inner, w: c.Response(), ctl: ctl}
	_, err := from.WriteTo(d)
	c.Response().Size += d.passed
	if d.left != nil {
		return clientLeft{d.left}
	}
	return err
}

// directTo is a connection that takes what another gives, and remembers whether it was itself that broke off.
type directTo struct {
	inner  io.ReaderFrom
	w      io.Writer
	ctl    *http.ResponseController
	passed int64
	left   error
}

// patience is for both sides of a piece: it comes from the host and goes to the client in one call.
const patience = 3 * contentIdle

func (d *directTo) Write(p []byte) (int, error) {
	_ = d.ctl.SetWriteDeadline(time.Now().Add(contentIdle))
	n, err := d.w.Write(p)
	d.left = err
	return n, err
}

func (d *directTo) ReadFrom(r io.Reader) (int64, error) {
	_ = d.ctl.SetWriteDeadline(time.Now().Add(patience))
	n, err := d.inner.ReadFrom(r)
	d.passed += n
	if !errors.Is(err, net.ErrClosed) { // the host's side ends early or is closed; what fails otherwise is ours
		d.left = err
	}
	return n, err
}

func (s *server) volumeJobs() {
	register(s, op{id: "move-volume", method: http.MethodPost, path: "/volumes/{id}/move", tag: "Volumes", perm: access.VolumeManage, status: 202, summary: "Move a volume to another pool",
		doc: "While its VM runs, if it does: the disk is copied and the VM turns to the copy. The old volume is deleted then. Until it turns, the job can be cancelled."},
		func(ctx context.Context, in *struct {
			VolumePath
			ChangeParams
			Body VolumeMove
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				b := in.Body
				return s.Fleet.MoveVolume(ctx, actor(ctx), in.ID, fleet.MoveVolume{Pool: b.Pool, Name: b.Name, Format: b.Format, Keep: b.Keep, Bandwidth: b.Bandwidth, Key: key})
			})
		})
	register(s, op{id: "compute-volume-checksum", method: http.MethodPost, path: "/volumes/{id}/checksum", tag: "Volumes", perm: access.VolumeContent, status: 202, summary: "Compute a volume's SHA-256"},
		func(ctx context.Context, in *struct {
			VolumePath
			ChangeParams
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.ChecksumVolume(ctx, actor(ctx), in.ID, key)
			})
		})
	register(s, op{id: "get-volume-checksum", method: http.MethodGet, path: "/volumes/{id}/checksum", tag: "Volumes", perm: access.VolumeRead, status: 200, summary: "Get the SHA-256 that was computed last"},
		func(ctx context.Context, in *VolumePath) (*struct{ Body VolumeChecksum }, error) {
			c, err := s.DB.Checksum(ctx, in.ID)
			return &struct{ Body VolumeChecksum }{VolumeChecksum(c)}, err
		})
}

func (s *server) vmDisks() {
	type list struct {
		Items []VMDisk `json:"items" nullable:"false"`
		Next  *string  `json:"next" doc:"Always null: a VM has few disks"`
	}
	register(s, op{id: "list-vm-disks", method: http.MethodGet, path: "/vms/{id}/disks", tag: "VMs", perm: access.VMRead, status: 200, summary: "List a VM's disks"},
		func(ctx context.Context, in *VMPath) (*struct{ Body list }, error) {
			disks, err := s.Fleet.Disks(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			out := list{Items: make([]VMDisk, len(disks))}
			for i, d := range disks {
				out.Items[i] = VMDisk{Disk: d.Disk, VolumeID: d.Volume.ID, Bytes: d.Volume.CapacityBytes, Running: d.Running, Boots: d.Boots}
			}
			return &struct{ Body list }{out}, nil
		})
	register(s, op{id: "attach-disk", method: http.MethodPost, path: "/vms/{id}/disks", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Attach a disk",
		doc: "An existing volume, or a new one. A volume that another VM has is refused unless both share it."},
		func(ctx context.Context, in *struct {
			VMPath
			ChangeParams
			Body DiskAttach
		}) (*changeOutput, error) {
			b := in.Body
			disk := domain.Disk{Target: b.Target, Device: b.Device, Bus: b.Bus, Pool: b.Pool, Volume: b.Name, SizeBytes: b.SizeBytes, Format: b.Format, Encrypted: b.Encrypted, Cache: b.Cache, Discard: b.Discard,
				IOThread: b.IOThread, Serial: b.Serial, ReadOnly: b.ReadOnly, Shareable: b.Shareable, Tune: b.Tune}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				job, err := s.Fleet.AttachDisk(ctx, actor(ctx), in.ID, b.Volume, disk, key)
				return job, asSent(err, "add_disks.0.", "")
			})
		})
	register(s, op{id: "change-disk", method: http.MethodPatch, path: "/vms/{id}/disks/{target}", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Change a disk",
		doc: "Limits take hold at once; bus, cache, discard, I/O thread and serial number at the next start."},
		func(ctx context.Context, in *struct {
			DiskPath
			ChangeParams
			Body DiskPatch
		}) (*changeOutput, error) {
			b := in.Body
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.ChangeDisk(ctx, actor(ctx), in.ID, domain.DiskChange{Target: in.Target, Bus: b.Bus, Cache: b.Cache, Discard: b.Discard, IOThread: b.IOThread, Serial: b.Serial, Tune: b.Tune}, key)
			})
		})
	register(s, op{id: "detach-disk", method: http.MethodDelete, path: "/vms/{id}/disks/{target}", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Detach a disk"},
		func(ctx context.Context, in *struct {
			DiskPath
			ChangeParams
			Delete bool `query:"delete" doc:"Delete its volume too, unless somebody else needs it"`
			Boot   bool `query:"boot" doc:"Also the disk that the VM boots from"`
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.DetachDisk(ctx, actor(ctx), in.ID, in.Target, in.Delete, in.Boot, key)
			})
		})
	register(s, op{id: "change-media", method: http.MethodPut, path: "/vms/{id}/disks/{target}/media", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Change or eject a CD-ROM"},
		func(ctx context.Context, in *struct {
			DiskPath
			ChangeParams
			Body DiskMedia
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.ChangeMedia(ctx, actor(ctx), in.ID, in.Target, in.Body.Volume, in.Body.Source, key)
			})
		})
	register(s, op{id: "flatten-disk", method: http.MethodPost, path: "/vms/{id}/disks/{target}/flatten", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Flatten a disk",
		doc: "The disk takes in what the images below it have, and stands on none of them, or on base. A VM that does not run gets a full copy."},
		func(ctx context.Context, in *struct {
			DiskPath
			ChangeParams
			Body *DiskFlatten `required:"false"`
		}) (*changeOutput, error) {
			base := ""
			if in.Body != nil {
				base = in.Body.Base
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.FlattenDisk(ctx, actor(ctx), in.ID, in.Target, base, key)
			})
		})
	register(s, op{id: "commit-disk", method: http.MethodPost, path: "/vms/{id}/disks/{target}/commit", tag: "VMs", perm: access.VMEdit, status: 202, summary: "Commit a disk into an image below",
		doc: "What the upper image has is written into the lower one, and the upper is deleted. Refused when anything else stands on an image that would change."},
		func(ctx context.Context, in *struct {
			DiskPath
			ChangeParams
			Body *DiskCommit `required:"false"`
		}) (*changeOutput, error) {
			var b DiskCommit
			if in.Body != nil {
				b = *in.Body
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.CommitDisk(ctx, actor(ctx), in.ID, in.Target, b.Base, b.Top, key)
			})
		})
}
