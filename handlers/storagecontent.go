package handlers

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/handlers/api"
	"novacron/jobs/blocks"
	"novacron/jobs/fleet"
)

// The content of volumes, for browsers: what the API does with a token, these do with the session of our own pages. A page of another site is kept out by
// the check of origins, which is the same for every form.

// contentHead says how far an upload is; without one, how many bytes a download has.
func (s *server) contentHead(c echo.Context) error {
	ctx, id, h := c.Request().Context(), c.Param("id"), c.Response().Header()
	h.Set("Accept-Ranges", "bytes")
	h.Set("Cache-Control", "no-store")
	up, err := s.Fleet.Content().Progress(ctx, id)
	switch {
	case err == nil:
		h.Set("Upload-Offset", strconv.FormatInt(max(0, up.Received), 10))
		h.Set("Upload-Length", strconv.FormatInt(up.Total, 10))
		h.Set("Upload-Job", up.JobID)
	case !domain.Is(err, domain.NotFound):
		return err
	default:
		_, n, err := s.Fleet.Content().Size(ctx, id)
		if err != nil {
			return err
		}
		h.Set("X-Content-Length", strconv.FormatInt(n, 10))
	}
	return c.NoContent(http.StatusOK)
}

// contentPut takes one part of an upload.
func (s *server) contentPut(c echo.Context) error {
	r, h := c.Request(), c.Response().Header()
	offset, total, err := blocks.ContentRange(r.Header.Get("Content-Range"), r.ContentLength)
	body := api.Patient(r, c.Response())
	if err != nil {
		api.Swallow(r, body)
		return err
	}
	job, up, err := s.Fleet.Content().Write(r.Context(), subject(c).Actor(), c.Param("id"),
		fleet.Upload{Offset: offset, Total: total, SHA256: c.QueryParam("sha256"), Body: body})
	if err != nil {
		api.Swallow(r, body)
		return err
	}
	if up.Received >= up.Total {
		if job, err = s.settle(r.Context(), job, earlyEnd); err != nil { // a wrong checksum is known at once
			return err
		}
	}
	h.Set("Upload-Offset", strconv.FormatInt(up.Received, 10))
	h.Set("Upload-Length", strconv.FormatInt(up.Total, 10))
	h.Set("Upload-Job", job.ID)
	return c.NoContent(http.StatusNoContent)
}

// contentGet sends what is in a volume, or a part of it.
func (s *server) contentGet(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	v, size, err := s.Fleet.Content().Size(ctx, id)
	if err != nil {
		return err
	}
	offset, length, part, err := blocks.Range(c.Request().Header.Get("Range"), size)
	if err != nil {
		return err
	}
	if size == 0 {
		return domain.Errorf(domain.Conflict, "The volume %s is empty.", v.Name)
	}
	content, err := s.Fleet.Content().Read(ctx, id, offset, length)
	if err != nil {
		return err
	}
	defer content.Close()
	for name, value := range api.ContentHeaders(v.Name, offset, length, size, part) {
		c.Response().Header().Set(name, value)
	}
	status := http.StatusOK
	if part {
		status = http.StatusPartialContent
	}
	c.Response().WriteHeader(status)
	api.SendContent(c, c.Response(), content, func(err error) {
		s.Log.WarnContext(ctx, "a download broke off", "volume", id, "error", err)
	})
	return nil
}
