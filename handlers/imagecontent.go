package handlers

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/handlers/api"
	"novacron/jobs/blocks"
	"novacron/views/images"
	"novacron/views/layout"
	"novacron/views/live"
)

func (s *server) namedVersion(c echo.Context) (domain.ImageVersion, error) {
	image, err := s.DB.Image(c.Request().Context(), c.Param("id"))
	if err != nil {
		return domain.ImageVersion{}, err
	}
	v, err := versionOf(image, c.Param("v"))
	if err != nil {
		return domain.ImageVersion{}, err
	}
	return *v, nil
}

// imageDownload sends a version's file; a conversion is done before the first byte.
func (s *server) imageDownload(c echo.Context) error {
	v, err := s.namedVersion(c)
	if err != nil {
		return err
	}
	format := c.QueryParam("format")
	// A conversion may take longer than a page's answer.
	if err := http.NewResponseController(c.Response()).SetWriteDeadline(time.Time{}); err != nil {
		s.Log.DebugContext(c.Request().Context(), "the write deadline cannot be lifted", "error", err)
	}
	f, v, err := s.Fleet.OpenImage(c.Request().Context(), v.ID, format)
	if err != nil {
		return err
	}
	defer f.Close()
	api.ServeImage(c.Response(), c.Request(), v, format, f)
	return nil
}

// imageUploadState says in a header how much of an upload is there.
func (s *server) imageUploadState(c echo.Context) error {
	v, err := s.namedVersion(c)
	if err != nil {
		return err
	}
	up, err := s.Fleet.ImageUploadState(c.Request().Context(), v.ID)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Upload-Offset", strconv.FormatInt(up.Received, 10))
	return c.NoContent(http.StatusOK)
}

// imageUpload takes a part of a version's content from a browser.
func (s *server) imageUpload(c echo.Context) error {
	r := c.Request()
	v, err := s.namedVersion(c)
	if err != nil {
		return err
	}
	offset, total, err := blocks.ContentRange(r.Header.Get("Content-Range"), r.ContentLength)
	if err != nil {
		return err
	}
	body := api.PatientBody(r.Body, c.Response())
	up, err := s.Fleet.UploadImage(r.Context(), subject(c).Actor(), v.ID, offset, total, body)
	if err != nil {
		api.Swallow(r, body)
		return err
	}
	c.Response().Header().Set("Upload-Offset", strconv.FormatInt(up.Received, 10))
	if up.Job.ID != "" {
		c.Response().Header().Set("Location", live.Task(up.Job.ID))
	}
	return c.NoContent(http.StatusAccepted)
}

// library draws the pages of images and templates when an event or a running import is about them.
func (d *drawing) library(ctx context.Context, a affected) {
	on := d.v.on
	concerns := false
	for _, ev := range a.evs {
		switch ev.Resource.Kind {
		case "image", "images":
			concerns = concerns || on == "images" || on == ev.Resource.ID
		}
	}
	for id := range a.moves {
		j, err := d.s.jobAsOf(ctx, id, 0)
		concerns = concerns || err == nil && j.Resource.ID == on
	}
	for id := range a.jobs {
		j, err := d.s.jobAsOf(ctx, id, 0)
		concerns = concerns || err == nil && j.Resource.ID == on
	}
	if !concerns || !d.may(access.ImageRead) {
		return
	}
	if on == "images" {
		m, err := d.s.imagesFor(ctx, d.v.at.Query().Get)
		if d.err = err; err == nil {
			d.add(ctx, images.StreamList(d.shell(), m))
		}
		return
	}
	m, err := d.s.imageModel(ctx, on, versionOfPage(d.v.at.Path))
	switch {
	case domain.Is(err, domain.NotFound):
		d.add(ctx, layout.ToastPartial(layout.Toast{Tone: layout.ToneWarning, Text: "This is no more.", Detail: "It was deleted, or its import failed; the tasks say what happened.", URL: live.Images, Link: "All images"}))
	case err != nil:
		d.err = err
	default:
		d.add(ctx, images.StreamPage(d.shell(), m))
	}
}

// versionOfPage is the version that the page at path shows, or "" when it shows all of an image.
func versionOfPage(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) < 4 || parts[2] != "versions" {
		return ""
	}
	v, err := url.PathUnescape(parts[3])
	if err != nil {
		return ""
	}
	return v
}
