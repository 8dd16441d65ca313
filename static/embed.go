// Package static holds what browsers fetch: the house stylesheet, small scripts and, under vendor, third-party files that make puts there
// before the build. Everything is embedded into the binary.
//
// It is not for markup, and it serves nothing: handlers do.
package static

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"sync"
)

//go:embed css img js all:vendor
var files embed.FS

// Files is the embedded tree: css/, img/, js/, vendor/.
func Files() fs.FS { return files }

// Prefix is where handlers serve Files.
const Prefix = "/static/"

var hashes sync.Map // path -> first 10 hex digits of its SHA-256

// URL gives the address of a file with its content's hash, so that browsers may keep it for ever. A file that is not embedded has no hash.
func URL(path string) string {
	if h, ok := hashes.Load(path); ok {
		return Prefix + path + h.(string)
	}
	suffix := ""
	if b, err := files.ReadFile(path); err == nil {
		sum := sha256.Sum256(b)
		suffix = "?v=" + hex.EncodeToString(sum[:5])
	}
	hashes.Store(path, suffix)
	return Prefix + path + suffix
}

// vendor lists the files that pages need from make's download.
var vendor = []string{
	"vendor/htmx.min.js", "vendor/hx-sse.min.js", "vendor/inter-latin.woff2", "vendor/inter-latin-ext.woff2", "vendor/icons.svg",
	"vendor/novnc/core/rfb.js", "vendor/xterm.js", "vendor/xterm.css", "vendor/addon-fit.js", "vendor/uPlot.iife.min.js", "vendor/uPlot.min.css",
}

// Missing names vendor files that the binary was built without; the server says so at start.
func Missing() []string {
	var out []string
	for _, f := range vendor {
		if _, err := fs.Stat(files, f); err != nil {
			out = append(out, f)
		}
	}
	return out
}
