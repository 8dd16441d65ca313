package handlers

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/handlers/packed"
)

// staticFiles serves the embedded files: read, hashed and compressed once, on first use.
type staticFiles struct {
	fs fs.FS

	mu    sync.Mutex
	files map[string]*staticFile
}

type staticFile struct {
	plain, packed []byte // packed is nil when it would not be smaller
	mime, etag    string
}

func newStaticFiles(f fs.FS) *staticFiles {
	return &staticFiles{fs: f, files: map[string]*staticFile{}}
}

var mimeTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
	".woff2": "font/woff2", ".png": "image/png", ".ico": "image/x-icon", ".txt": "text/plain; charset=utf-8", ".json": "application/json",
}

func (sf *staticFiles) get(name string) (*staticFile, error) {
	sf.mu.Lock()
	defer sf.mu.Unlock()
	if f := sf.files[name]; f != nil {
		return f, nil
	}
	b, err := fs.ReadFile(sf.fs, name)
	if err != nil {
		return nil, echo.ErrNotFound // a directory or nothing at all
	}
	sum := sha256.Sum256(b)
	f := &staticFile{plain: b, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
	if f.mime = mimeTypes[path.Ext(name)]; f.mime == "" {
		if f.mime = mime.TypeByExtension(path.Ext(name)); f.mime == "" {
			f.mime = "application/octet-stream"
		}
	}
	if strings.HasPrefix(f.mime, "text/") || strings.Contains(f.mime, "svg") || strings.Contains(f.mime, "json") {
		if f.packed, err = pack(b); err != nil {
			return nil, err
		}
	}
	sf.files[name] = f
	return f, nil
}

func pack(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "A static file could not be compressed: %w", err)
	}
	if out.Len() >= len(b) {
		return nil, nil
	}
	return out.Bytes(), nil
}

func (s *server) serveStatic(c echo.Context) error {
	return s.sendStatic(c, c.Param("*"))
}

func (s *server) sendStatic(c echo.Context, name string) error {
	if !fs.ValidPath(name) {
		return echo.ErrNotFound
	}
	f, err := s.static.get(name)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Type", f.mime)
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", f.etag)
	if c.QueryParam("v") != "" { // the address names the content
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body := f.plain
	if f.packed != nil && packed.Taken(c.Request()) {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", strings.TrimSuffix(f.etag, `"`)+`-gz"`)
		body = f.packed
	}
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, bytes.NewReader(body))
	return nil
}

// favicon is what browsers ask for by themselves; pages name the drawing.
func (s *server) favicon(c echo.Context) error { return s.sendStatic(c, "img/logo.svg") }

func (s *server) robots(c echo.Context) error {
	return c.String(http.StatusOK, "User-agent: *\nDisallow: /\n")
}

// healthz says that the process answers; readyz also that the database does.
func (s *server) healthz(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

const readyWithin = 2 * time.Second

func (s *server) readyz(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyWithin)
	defer cancel()
	if s.Closing != nil {
		select {
		case <-s.Closing:
			return c.String(http.StatusServiceUnavailable, "shutting down\n")
		default:
		}
	}
	if err := s.DB.Ping(ctx); err != nil {
		s.logError(ctx, err, "the database does not answer")
		return c.String(http.StatusServiceUnavailable, "the database does not answer\n")
	}
	return c.String(http.StatusOK, "ok\n")
}
