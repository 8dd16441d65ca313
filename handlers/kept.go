package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/handlers/packed"
)

// sheet is a page as it is sent.
type sheet struct {
	status int
	html   []byte
	packed bool
}

// pageDrawer draws a page without sending it. It may be asked for one page by many at once and is then called for one of them.
type pageDrawer func(c echo.Context) (status int, page templ.Component, err error)

// sheetKey is all that a page depends on beside the world: whose it is, how they like it, which it is. The second is there for what no event tells: how
// long ago things were, and the progress of what runs.
type sheetKey struct {
	user, name, role, prefs, address string
	packed                           bool
	second                           int64
}

// sheetsKept bounds the pages that are kept; a packed one has about 20 KB.
const sheetsKept = 100

// kept makes a handler of a page that is drawn once for a person while nothing happens. Every event makes it be drawn anew, so nobody is shown less than
// what they did themselves.
func (s *server) kept(draw pageDrawer) echo.HandlerFunc {
	return func(c echo.Context) error {
		if _, err := c.Cookie(flashCookie); err == nil { // it says something once
			status, page, err := draw(c)
			if err != nil {
				return err
			}
			return s.render(c, status, page)
		}
		sub := subject(c)
		prefs, err := json.Marshal(sub.Prefs)
		if err != nil {
			return err
		}
		key := sheetKey{
			user: sub.UserID, name: sub.Name, role: sub.Look(), prefs: string(prefs), address: c.Request().URL.RequestURI(), packed: packed.Taken(c.Request()),
			second: s.Clock().Unix(),
		}
		sh, _, err := s.sheets.Get(c.Request().Context(), key, s.DB.Feed().Last(), 0, func(ctx context.Context) (sheet, error) {
			status, page, err := draw(c)
			if err != nil {
				return sheet{}, err
			}
			return newSheet(ctx, status, page, key.packed)
		})
		if err != nil {
			return err
		}
		return sh.send(c)
	}
}

// render sends a component. It is built in memory first, so that an error half-way still gets a proper answer.
func (s *server) render(c echo.Context, status int, page templ.Component) error {
	sh, err := newSheet(c.Request().Context(), status, page, packed.Taken(c.Request()))
	if err != nil {
		return err
	}
	return sh.send(c)
}

func newSheet(ctx context.Context, status int, page templ.Component, pack bool) (sheet, error) {
	buf := templ.GetBuffer()
	defer templ.ReleaseBuffer(buf)
	if err := page.Render(ctx, buf); err != nil {
		return sheet{}, domain.Errorf(domain.Internal, "The page could not be made: %w", err)
	}
	if !pack || buf.Len() < packed.NotWorth {
		return sheet{status: status, html: bytes.Clone(buf.Bytes())}, nil
	}
	html, err := packed.Gzip(buf.Bytes())
	return sheet{status: status, html: html, packed: true}, err
}

func (sh sheet) send(c echo.Context) error {
	h := c.Response().Header()
	h.Add("Vary", "Accept-Encoding")
	if sh.packed {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(sh.html)))
	return c.HTMLBlob(sh.status, sh.html)
}
