package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// Image is an image of the library.
type Image struct {
	ID          string         `json:"id" example:"img_01k…"`
	Name        string         `json:"name" example:"debian"`
	Tenant      string         `json:"tenant,omitempty" doc:"Whose it is; nothing: the estate's, for everybody"`
	Arch        string         `json:"arch" example:"x86_64"`
	Description string         `json:"description"`
	Versions    []ImageVersion `json:"versions" nullable:"false" doc:"Newest first"`
	CreatedAt   *time.Time     `json:"created_at"`
	Version     int64          `json:"version" doc:"Grows with every edit; also the ETag"`
}

// ImageVersion is one content of an image; once published it never changes.
type ImageVersion struct {
	ID           string             `json:"id" example:"imgv_01k…"`
	ImageID      string             `json:"image_id"`
	Name         string             `json:"name" doc:"Of the image"`
	Version      string             `json:"version" example:"12"`
	Ref          string             `json:"ref" example:"debian@12" doc:"What a disk's image names"`
	State        domain.ImageState  `json:"state" enum:"importing,draft,published,deprecated"`
	Arch         string             `json:"arch"`
	Format       string             `json:"format" doc:"qcow2, raw or iso, as it is kept; empty while importing"`
	VirtualBytes int64              `json:"virtual_size_bytes" doc:"What a guest sees"`
	FileBytes    int64              `json:"file_size_bytes"`
	SHA256       string             `json:"sha256" doc:"Of the file that is kept and copied to hosts"`
	Source       domain.ImageSource `json:"source" doc:"Where it came from, and what it was before it was converted"`
	Hints        domain.ImageHints  `json:"hints" doc:"What an OVA says of its machine"`
	Changelog    string             `json:"changelog"`
	JobID        string             `json:"job_id,omitempty" doc:"The job that imported it"`
	CreatedAt    *time.Time         `json:"created_at"`
	PublishedAt  *time.Time         `json:"published_at"`
	LastUsedAt   *time.Time         `json:"last_used_at"`
	Received     *int64             `json:"received_bytes,omitempty" doc:"Of an upload that is under way"`
}

func imageVersionOf(v *domain.ImageVersion) ImageVersion {
	return ImageVersion{ID: v.ID, ImageID: v.ImageID, Name: v.ImageName, Version: v.Label, Ref: v.Ref(), State: v.State, Arch: v.Arch, Format: v.Format, VirtualBytes: v.VirtualBytes,
		FileBytes: v.FileBytes, SHA256: v.SHA256, Source: v.Source, Hints: v.Hints, Changelog: v.Changelog, JobID: v.JobID, CreatedAt: when(v.CreatedAt),
		PublishedAt: when(v.PublishedAt), LastUsedAt: when(v.LastUsedAt)}
}

func imageOf(i *domain.Image) Image {
	out := Image{ID: i.ID, Name: i.Name, Tenant: i.Tenant, Arch: i.Arch, Description: i.Description, Versions: make([]ImageVersion, len(i.Versions)), CreatedAt: when(i.CreatedAt), Version: i.Version}
	for k := range i.Versions {
		out.Versions[k] = imageVersionOf(&i.Versions[k])
	}
	return out
}

// ImageCopy is a version's file on a host.
type ImageCopy struct {
	ID         string     `json:"id"`
	VersionID  string     `json:"version_id"`
	HostID     string     `json:"host_id"`
	PoolID     string     `json:"pool_id"`
	Pool       string     `json:"pool"`
	Volume     string     `json:"volume"`
	Path       string     `json:"path"`
	State      string     `json:"state" enum:"placing,ready"`
	Bytes      int64      `json:"bytes"`
	CreatedAt  *time.Time `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

func imageCopyOf(c *domain.ImageCopy) ImageCopy {
	return ImageCopy{ID: c.ID, VersionID: c.VersionID, HostID: c.HostID, PoolID: c.PoolID, Pool: c.Pool, Volume: c.Volume, Path: c.Path, State: c.State, Bytes: c.Bytes,
		CreatedAt: when(c.CreatedAt), LastUsedAt: when(c.LastUsedAt)}
}

// UnusedImage is a copy, or a disk frozen for linked clones, that nothing needs.
type UnusedImage struct {
	ID     string `json:"id"`
	Base   bool   `json:"base" doc:"A disk that was frozen for linked clones: it cannot be made again"`
	What   string `json:"what"`
	HostID string `json:"host_id"`
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
}

// ImageFrom says where a version's content comes from: one of the four.
type ImageFrom struct {
	URL    string `json:"url,omitempty" maxLength:"2048" doc:"An address to fetch"`
	SHA256 string `json:"sha256,omitempty" doc:"What the file must have; without it the checksum is computed and shown"`
	Volume string `json:"volume,omitempty" doc:"A volume's id"`
	VM     string `json:"vm,omitempty" doc:"A VM's id; one that runs goes on in an overlay while its disk is read"`
	Target string `json:"target,omitempty" doc:"Which disk of the VM; empty: the first"`
	Upload bool   `json:"upload,omitempty" doc:"The content follows by PUT …/content"`
	File   string `json:"file,omitempty" maxLength:"255" doc:"Name of the file that is uploaded, for the record"`
}

// ImageVersionNew asks for a version.
type ImageVersionNew struct {
	Version   string    `json:"version,omitempty" doc:"Empty: the day" example:"12"`
	Format    string    `json:"format,omitempty" enum:"qcow2,raw,iso,vmdk,vdi,vhd,vhdx,ova" doc:"What the file is said to be; empty: found out"`
	Changelog string    `json:"changelog,omitempty"`
	Publish   bool      `json:"publish,omitempty" doc:"Publish it when it is complete"`
	Source    ImageFrom `json:"source"`
}

// ImageNew asks for an image with its first version.
type ImageNew struct {
	Name        string `json:"name" example:"debian"`
	Tenant      string `json:"tenant,omitempty" maxLength:"64" doc:"Whose it is to be; empty: the caller's own tenant, else the estate's, for everybody"`
	Arch        string `json:"arch,omitempty" default:"x86_64"`
	Description string `json:"description,omitempty"`
	ImageVersionNew
}

func (n ImageVersionNew) ask(key string) fleet.NewImage {
	s := n.Source
	return fleet.NewImage{Label: n.Version, Changelog: n.Changelog, Format: n.Format, SHA256: s.SHA256, Publish: n.Publish, URL: s.URL, VolumeID: s.Volume, VMID: s.VM, Upload: s.Upload,
		Target: s.Target, FileName: s.File, Key: key}
}

// ImageImport answers a request for a version: the version, and the job unless the content is to be uploaded.
type ImageImport struct {
	Version ImageVersion `json:"version"`
	Upload  string       `json:"upload,omitempty" doc:"Where the content goes (PUT), when it is uploaded"`
	Job     *Job         `json:"job,omitempty"`
}

type imageImportOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     ImageImport
}

// ImagePath names an image by its id or name.
type ImagePath struct {
	ID string `path:"id" maxLength:"64" doc:"The image's id, or its name"`
}

// ImageVersionPath names a version by its label or id.
type ImageVersionPath struct {
	ImagePath
	V string `path:"v" maxLength:"64" doc:"The version's label, or its id"`
}

func (s *server) version(ctx context.Context, p ImageVersionPath) (domain.ImageVersion, error) {
	image, err := s.DB.Image(ctx, p.ID)
	if err != nil {
		return domain.ImageVersion{}, err
	}
	for _, v := range image.Versions {
		if v.Label == p.V || v.ID == p.V {
			return v, nil
		}
	}
	return domain.ImageVersion{}, domain.Errorf(domain.NotFound, "The image %s has no version %s.", image.Name, p.V)
}

// importResponses tells of both answers: a job, or an address to upload to.
func (s *server) importResponses(h *huma.Operation) {
	body := map[string]*huma.MediaType{"application/json": {Schema: schemaOf[ImageImport](s.api.OpenAPI().Components.Schemas)}}
	h.Responses = map[string]*huma.Response{"201": {Description: "Made; its content is to be uploaded", Content: body}, "202": {Description: "Accepted", Content: body}}
}

// imported answers with a version, and with its job after waiting for it when that was asked.
func (s *server) imported(ctx context.Context, in ChangeParams, ask fleet.NewImage) (*imageImportOutput, error) {
	wait, err := in.wait()
	if err != nil {
		return nil, err
	}
	ask.Key = in.Key
	v, job, err := s.Fleet.NewImageVersion(ctx, actor(ctx), ask)
	if err != nil {
		return nil, err
	}
	out := &imageImportOutput{Status: http.StatusCreated, Body: ImageImport{Version: imageVersionOf(&v)}}
	if job.ID == "" {
		out.Location = fmt.Sprintf("%s/images/%s/versions/%s", prefix, v.ImageID, v.ID)
		out.Body.Upload = out.Location + "/content"
		return out, nil
	}
	if wait > 0 && !job.State.Ended() {
		open, end := s.whileOpen(ctx)
		defer end()
		until, cancel := context.WithTimeout(open, wait)
		defer cancel()
		if job, err = s.Engine.Wait(until, job.ID); err != nil {
			return nil, err
		}
		if now, err := s.DB.ImageVersion(ctx, v.ID); err == nil {
			out.Body.Version = imageVersionOf(&now)
		} else if !domain.Is(err, domain.NotFound) { // an import that failed leaves no version
			return nil, err
		}
	}
	shown := s.job(&job)
	out.Status, out.Location, out.Body.Job = http.StatusAccepted, prefix+"/jobs/"+job.ID, &shown
	return out, nil
}

type imageOutput struct {
	ETag string `header:"ETag"`
	Body Image
}

func (s *server) images() {
	const tag = "Images"
	registerPage(s, op{id: "list-images", method: http.MethodGet, path: "/images", tag: tag, perm: access.ImageRead, status: 200, summary: "List the image library"},
		func(ctx context.Context, in *struct {
			PageQuery
			Filter string `query:"filter" maxLength:"200" doc:"Words that the name or the description contains"`
			State  string `query:"state" enum:"importing,draft,published,deprecated" doc:"Only images with a version in this state"`
			Sort   string `query:"sort" default:"name" doc:"name or created; a minus turns it round"`
		}) (Page[Image], error) {
			order, desc := strings.CutPrefix(in.Sort, "-")
			page, err := s.DB.Images(ctx, db.ImageQuery{Filter: in.Filter, State: domain.ImageState(in.State), Sort: order, Desc: desc, After: in.cursor(), Limit: in.limit()})
			if err != nil {
				return Page[Image]{}, ofCursor(err)
			}
			return pageOf(page.Items, page.Next, page.Total, imageOf), nil
		})

	registerWith(s, op{id: "create-image", method: http.MethodPost, path: "/images", tag: tag, perm: access.ImageManage, status: 202, summary: "Import an image",
		doc: "From an address, a volume or a VM: the answer is 202 with the job. With source.upload it is 201, and the content follows by PUT to the address in upload. " +
			"What comes in is checked before anything else touches it: a file that names another file (backing file, extent, parent) or lies about its size is refused."},
		s.importResponses, func(ctx context.Context, in *struct {
			ChangeParams
			Body ImageNew
		}) (*imageImportOutput, error) {
			ctx, err := s.Fleet.OwnedBy(ctx, access.ImageManage, in.Body.Tenant)
			if err != nil {
				return nil, err
			}
			ask := in.Body.ask(in.Key)
			ask.Name, ask.Arch, ask.Description = in.Body.Name, in.Body.Arch, in.Body.Description
			return s.imported(ctx, in.ChangeParams, ask)
		})

	register(s, op{id: "get-image", method: http.MethodGet, path: "/images/{id}", tag: tag, perm: access.ImageRead, status: 200, summary: "Show an image"},
		func(ctx context.Context, in *ImagePath) (*imageOutput, error) {
			i, err := s.DB.Image(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &imageOutput{etag(i.Version), imageOf(&i)}, nil
		})

	register(s, op{id: "edit-image", method: http.MethodPatch, path: "/images/{id}", tag: tag, perm: access.ImageManage, status: 200, summary: "Rename or describe an image"},
		func(ctx context.Context, in *struct {
			ImagePath
			MatchHeader
			Body struct {
				Name        *string `json:"name,omitempty"`
				Arch        *string `json:"arch,omitempty"`
				Description *string `json:"description,omitempty"`
			}
		}) (*imageOutput, error) {
			base, fromHeader, err := in.base(nil)
			if err != nil {
				return nil, err
			}
			now, err := s.DB.Image(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if err := fresh(base, fromHeader, now.Version, "image"); err != nil {
				return nil, err
			}
			i, err := s.Fleet.DescribeImage(ctx, actor(ctx), now.ID, base, fleet.EditImage{Name: in.Body.Name, Arch: in.Body.Arch, Description: in.Body.Description})
			if err != nil {
				return nil, err
			}
			return &imageOutput{etag(i.Version), imageOf(&i)}, nil
		})

	register(s, op{id: "delete-image", method: http.MethodDelete, path: "/images/{id}", tag: tag, perm: access.ImageManage, status: 202, summary: "Delete an image with all versions",
		doc: "Its copies on hosts go too. Refused while a template names it or something is built on a copy."},
		func(ctx context.Context, in *struct {
			ImagePath
			ChangeParams
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.DeleteImage(ctx, actor(ctx), in.ID, "", key)
			})
		})
	s.imageVersions(tag)
	s.imageContent(tag)
	s.imageCopies(tag)
}

func (s *server) imageVersions(tag string) {
	register(s, op{id: "list-image-versions", method: http.MethodGet, path: "/images/{id}/versions", tag: tag, perm: access.ImageRead, status: 200, summary: "List an image's versions"},
		func(ctx context.Context, in *ImagePath) (*struct{ Body Page[ImageVersion] }, error) {
			i, err := s.DB.Image(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Page[ImageVersion] }{pageOf(i.Versions, "", len(i.Versions), imageVersionOf)}, nil
		})

	registerWith(s, op{id: "create-image-version", method: http.MethodPost, path: "/images/{id}/versions", tag: tag, perm: access.ImageManage, status: 202, summary: "Import a version of an image"},
		s.importResponses, func(ctx context.Context, in *struct {
			ImagePath
			ChangeParams
			Body ImageVersionNew
		}) (*imageImportOutput, error) {
			ask := in.Body.ask(in.Key)
			ask.ImageID = in.ID
			return s.imported(ctx, in.ChangeParams, ask)
		})

	register(s, op{id: "get-image-version", method: http.MethodGet, path: "/images/{id}/versions/{v}", tag: tag, perm: access.ImageRead, status: 200, summary: "Show a version",
		doc: "While an upload is under way, received_bytes says where it goes on."},
		func(ctx context.Context, in *ImageVersionPath) (*struct{ Body ImageVersion }, error) {
			v, err := s.version(ctx, *in)
			if err != nil {
				return nil, err
			}
			out := imageVersionOf(&v)
			if v.State == domain.ImageImporting && v.JobID == "" {
				up, err := s.Fleet.ImageUploadState(ctx, v.ID)
				if err != nil {
					return nil, err
				}
				out.Received = &up.Received
			}
			return &struct{ Body ImageVersion }{out}, nil
		})

	for _, a := range []struct {
		id, summary, doc string
		to               domain.ImageState
	}{
		{"publish", "Publish a version", "From now on it is immutable, and what the image's name means without a version, if it is the newest.", domain.ImagePublished},
		{"deprecate", "Deprecate a version", "Nothing new is made of it; what exists stays as it is. Publishing it takes this back.", domain.ImageDeprecated},
	} {
		register(s, op{id: a.id + "-image-version", method: http.MethodPost, path: "/images/{id}/versions/{v}/" + a.id, tag: tag, perm: access.ImageManage, status: 200, summary: a.summary, doc: a.doc},
			func(ctx context.Context, in *ImageVersionPath) (*struct{ Body ImageVersion }, error) {
				v, err := s.version(ctx, *in)
				if err != nil {
					return nil, err
				}
				if v, err = s.Fleet.PublishImage(ctx, actor(ctx), v.ID, a.to); err != nil {
					return nil, err
				}
				return &struct{ Body ImageVersion }{imageVersionOf(&v)}, nil
			})
	}

	register(s, op{id: "delete-image-version", method: http.MethodDelete, path: "/images/{id}/versions/{v}", tag: tag, perm: access.ImageManage, status: 202, summary: "Delete a version"},
		func(ctx context.Context, in *struct {
			ImageVersionPath
			ChangeParams
		}) (*changeOutput, error) {
			v, err := s.version(ctx, in.ImageVersionPath)
			if err != nil {
				return nil, err
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.DeleteImage(ctx, actor(ctx), v.ImageID, v.ID, key)
			})
		})

	register(s, op{id: "place-image-version", method: http.MethodPost, path: "/images/{id}/versions/{v}/place", tag: tag, perm: access.ImageManage, status: 202, summary: "Copy a version to a host",
		doc: "Before anything there needs it, so that the first VM is as fast as the later ones."},
		func(ctx context.Context, in *struct {
			ImageVersionPath
			ChangeParams
			Body struct {
				Host string `json:"host" doc:"A host's id"`
				Pool string `json:"pool,omitempty" doc:"Name of a pool of files on the host; empty: the one where disks are made"`
			}
		}) (*changeOutput, error) {
			v, err := s.version(ctx, in.ImageVersionPath)
			if err != nil {
				return nil, err
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.PlaceImage(ctx, actor(ctx), v.ID, in.Body.Host, in.Body.Pool, key)
			})
		})
}

// uploadInput takes a part of a file without reading it into memory.
type uploadInput struct {
	ImageVersionPath
	Range  string `header:"Content-Range" maxLength:"100" doc:"Which part the body is: bytes 0-1048575/7340032. Without it the body is the whole file" example:"bytes 0-1048575/7340032"`
	Length int64  `header:"Content-Length"`
	body   io.Reader
}

// Resolve takes the body from huma's context.
func (in *uploadInput) Resolve(ctx huma.Context) []error {
	in.body = patientBody{ctx.BodyReader(), http.NewResponseController(humaecho.Unwrap(ctx).Response())}
	return nil
}

// patientBody gives a sender time as long as something comes.
type patientBody struct {
	io.Reader
	ctl *http.ResponseController
}

// PatientBody reads a request's body for as long as something comes, whatever the server's deadline for pages is.
func PatientBody(body io.Reader, w http.ResponseWriter) io.Reader {
	return patientBody{body, http.NewResponseController(w)}
}

// uploadSilence is how long a sender may send nothing.
const uploadSilence = time.Minute

func (b patientBody) Read(p []byte) (int, error) {
	for _, set := range []func(time.Time) error{b.ctl.SetReadDeadline, b.ctl.SetWriteDeadline} {
		if err := set(time.Now().Add(uploadSilence)); err != nil {
			return b.Reader.Read(p) // a connection without deadlines, as in tests
		}
	}
	return b.Reader.Read(p)
}

// part reads where a body begins and how long the whole is.
func (in *uploadInput) part() (offset, total int64, err error) {
	if in.Range == "" {
		if in.Length > 0 {
			return 0, in.Length, nil
		}
		return 0, -1, nil
	}
	bad := domain.InvalidField("Content-Range", "“"+in.Range+"” is not a part of a file.", "bytes first-last/total, such as bytes 0-1048575/7340032")
	rest, ok := strings.CutPrefix(in.Range, "bytes ")
	span, all, ok2 := strings.Cut(rest, "/")
	first, last, ok3 := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(all, 10, 64)
	if !ok || !ok2 || !ok3 || err1 != nil || err2 != nil || err3 != nil || from < 0 || to < from || total <= to {
		return 0, 0, bad
	}
	in.body = io.LimitReader(in.body, to-from+1)
	return from, total, nil
}

func (s *server) imageContent(tag string) {
	raw := func(h *huma.Operation) {
		h.RequestBody = &huma.RequestBody{Description: "The file, or the part of it that Content-Range names.", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}
		h.BodyReadTimeout, h.MaxBodyBytes = -1, -1
	}
	registerWith(s, op{id: "upload-image-version", method: http.MethodPut, path: "/images/{id}/versions/{v}/content", tag: tag, perm: access.ImageManage, status: 202, summary: "Upload a version's content",
		doc: "In one request or in parts, in order; a part that was cut off counts as far as it came. GET the version to learn where to go on. When all came in, the answer has the job that checks it."}, raw,
		func(ctx context.Context, in *uploadInput) (*imageImportOutput, error) {
			v, err := s.version(ctx, in.ImageVersionPath)
			if err != nil {
				return nil, err
			}
			offset, total, err := in.part()
			if err != nil {
				return nil, err
			}
			up, err := s.Fleet.UploadImage(ctx, actor(ctx), v.ID, offset, total, in.body)
			if err != nil {
				return nil, err
			}
			out := &imageImportOutput{Status: http.StatusAccepted, Body: ImageImport{Version: imageVersionOf(&up.Version)}}
			out.Body.Version.Received = &up.Received
			if up.Job.ID != "" {
				shown := s.job(&up.Job)
				out.Location, out.Body.Job = prefix+"/jobs/"+up.Job.ID, &shown
			}
			return out, nil
		})

	file := func(h *huma.Operation) {
		h.Responses = map[string]*huma.Response{"200": {Description: "The file", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}
	}
	registerWith(s, op{id: "download-image-version", method: http.MethodGet, path: "/images/{id}/versions/{v}/content", tag: tag, perm: access.ImageRead, status: 200, summary: "Download a version",
		doc: "As it is kept, or converted to the format. Ranges are answered, so a download that broke off can go on; a conversion is done before the first byte."}, file,
		func(ctx context.Context, in *struct {
			ImageVersionPath
			Format string `query:"format" enum:"qcow2,raw,vmdk,ova" doc:"Empty: as it is kept"`
		}) (*eventsOutput, error) {
			v, err := s.version(ctx, in.ImageVersionPath)
			if err != nil {
				return nil, err
			}
			f, v, err := s.Fleet.OpenImage(ctx, v.ID, in.Format)
			if err != nil {
				return nil, err
			}
			return &eventsOutput{func(hc huma.Context) {
				defer f.Close()
				ec := humaecho.Unwrap(hc)
				ServeImage(ec.Response(), ec.Request(), v, in.Format, f)
			}}, nil
		})
}

// ServeImage sends an image's file, or the part that was asked for.
func ServeImage(w http.ResponseWriter, r *http.Request, v domain.ImageVersion, format string, f io.ReadSeeker) {
	tag := v.SHA256
	if format == "" || format == v.Format {
		format = v.Format
	} else {
		tag += "-" + format
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s.%s"`, v.ImageName, v.Label, format))
	h.Set("ETag", `"`+tag+`"`)
	h.Set("Cache-Control", "private, no-transform")
	h.Set("X-Content-Type-Options", "nosniff")
	// A large file takes longer than any deadline of a page; who goes away ends it.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	http.ServeContent(w, r, "", time.Time{}, f)
}

func (s *server) imageCopies(tag string) {
	register(s, op{id: "list-image-copies", method: http.MethodGet, path: "/image-copies", tag: tag, perm: access.ImageRead, status: 200, summary: "List copies of images on hosts"},
		func(ctx context.Context, in *struct {
			Version string `query:"version" maxLength:"64" doc:"Only copies of the version with this id"`
		}) (*struct{ Body Page[ImageCopy] }, error) {
			cs, err := s.DB.ImageCopies(ctx, in.Version)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Page[ImageCopy] }{pageOf(cs, "", len(cs), imageCopyOf)}, nil
		})

	register(s, op{id: "list-unused-images", method: http.MethodGet, path: "/image-copies/unused", tag: tag, perm: access.ImageRead, status: 200, summary: "List what nothing needs",
		doc: "Copies of images, and disks that were frozen for linked clones, that no VM, no volume and no job needs now."},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[UnusedImage] }, error) {
			us, err := s.Fleet.UnusedImages(ctx)
			if err != nil {
				return nil, err
			}
			items := make([]UnusedImage, len(us))
			for i, u := range us {
				items[i] = UnusedImage{u.ID, u.Base, u.What, u.HostID, u.Path, u.Bytes}
			}
			return &struct{ Body Page[UnusedImage] }{Page[UnusedImage]{Items: items, Total: len(items)}}, nil
		})

	register(s, op{id: "collect-images", method: http.MethodPost, path: "/image-copies/collect", tag: tag, perm: access.ImageManage, status: 202, summary: "Remove unused copies",
		doc: "Without ids every unused copy, and no frozen disk. Each is looked at again on its host first; what is needed after all stays."},
		func(ctx context.Context, in *struct {
			ChangeParams
			Body *struct {
				IDs []string `json:"ids,omitempty" nullable:"false" maxItems:"1000"`
			}
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				var ids []string
				if in.Body != nil {
					ids = in.Body.IDs
				}
				return s.Fleet.CollectImages(ctx, actor(ctx), ids, key)
			})
		})

	register(s, op{id: "get-image-policy", method: http.MethodGet, path: "/image-policy", tag: tag, perm: access.ImageRead, status: 200, summary: "Show when unused copies go by themselves"},
		func(ctx context.Context, _ *struct{}) (*struct{ Body fleet.ImagePolicy }, error) {
			p, err := s.Fleet.ImagePolicy(ctx)
			return &struct{ Body fleet.ImagePolicy }{p}, err
		})

	register(s, op{id: "set-image-policy", method: http.MethodPut, path: "/image-policy", tag: tag, perm: access.ImageManage, status: 200, summary: "Say when unused copies go by themselves"},
		func(ctx context.Context, in *struct{ Body fleet.ImagePolicy }) (*struct{ Body fleet.ImagePolicy }, error) {
			return &struct{ Body fleet.ImagePolicy }{in.Body}, s.Fleet.SetImagePolicy(ctx, actor(ctx), in.Body)
		})
}
