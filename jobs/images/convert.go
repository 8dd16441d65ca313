package images

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"novacron/domain"
	"novacron/jobs/images/diskfile"
)

// qemuImg runs QEMU's converter on files that diskfile accepted. Its input is always named with its driver and "backing": null, so that nothing inside
// the file decides what is opened; it runs without a shell, with nothing of the environment, and under limits.
type qemuImg struct {
	path    string
	prlimit string
}

const (
	convertTimeout = 6 * time.Hour
	convertMemory  = 4 << 30 // address space
	convertCPU     = 3 * 3600
)

func findQemuImg(path string) *qemuImg {
	if path == "none" {
		return nil
	}
	if path == "" {
		path = "qemu-img"
	}
	tool, err := exec.LookPath(path)
	if err != nil {
		return nil
	}
	limit, err := exec.LookPath("prlimit")
	if err != nil {
		return nil // never without limits
	}
	return &qemuImg{tool, limit}
}

// drivers are QEMU's names of the formats.
var drivers = map[string]string{
	domain.FormatQCOW2: "qcow2", domain.FormatRaw: "raw", domain.FormatISO: "raw", domain.FormatVMDK: "vmdk", domain.FormatVDI: "vdi", domain.FormatVHD: "vpc", domain.FormatVHDX: "vhdx",
}

// block is a node of QEMU's block layer.
type block struct {
	Driver   string `json:"driver"`
	File     *block `json:"file,omitempty"`
	Filename string `json:"filename,omitempty"`
	Locking  string `json:"locking,omitempty"`
	Offset   *int64 `json:"offset,omitempty"`
	Size     *int64 `json:"size,omitempty"`
}

// source names a file for qemu-img.
func source(path, format string, inner *diskfile.Inner) (string, error) {
	b := block{Driver: "file", Filename: path, Locking: "off"}
	if inner != nil {
		format = inner.Format
		size := (inner.Bytes + 511) &^ 511 // the archive pads its files
		b = block{Driver: "raw", Offset: &inner.Offset, Size: &size, File: &block{Driver: "file", Filename: path, Locking: "off"}}
	}
	driver := drivers[format]
	if driver == "" {
		return "", domain.Errorf(domain.Internal, "There is no driver for images of the format %s.", format)
	}
	doc, err := json.Marshal(struct {
		Driver  string `json:"driver"`
		File    block  `json:"file"`
		Backing *int   `json:"backing"` // null: none, whatever the file says
	}{driver, b, nil})
	return "json:" + string(doc), err
}

// convert writes the disk that is in the file at from into a new file.
func (q *qemuImg) convert(ctx context.Context, from, format string, inner *diskfile.Inner, virtual int64, to, toFormat string, progress func(percent float64)) error {
	in, err := source(from, format, inner)
	if err != nil {
		return domain.Errorf(domain.Internal, "The conversion cannot be described: %w", err)
	}
	args := []string{"convert", "-p", "-t", "writeback", "-T", "writeback", "-O", drivers[toFormat]}
	switch toFormat {
	case domain.FormatQCOW2:
		args = append(args, "-o", "compat=1.1")
	case domain.FormatVMDK:
		args = append(args, "-o", "subformat=streamOptimized")
	}
	if err := os.Remove(to); err != nil && !os.IsNotExist(err) {
		return fileError(err, "delete")
	}
	err = q.run(ctx, virtual+virtual/8+256*domain.MiB, progress, append(args, in, to)...)
	if err != nil {
		_ = os.Remove(to) // what is left of it is worth nothing; the error is what counts
		return err
	}
	return nil
}

var drawn = regexp.MustCompile(`\(([0-9.]+)/100%\)`)

// run runs the tool; no file that it writes may be larger than most.
func (q *qemuImg) run(ctx context.Context, most int64, progress func(percent float64), args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, convertTimeout)
	defer cancel()
	limits := []string{fmt.Sprintf("--as=%d", convertMemory), fmt.Sprintf("--cpu=%d", convertCPU), fmt.Sprintf("--fsize=%d", most), "--nofile=64", "--core=0", "--", q.path}
	// #nosec G204 -- the tool is found at the start, its arguments are made here of checked formats and the library's own paths, and no shell reads them
	cmd := exec.CommandContext(ctx, q.prlimit, append(limits, args...)...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	cmd.Dir = filepath.Dir(args[len(args)-1])
	cmd.WaitDelay = 5 * time.Second
	var stderr tail
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return domain.Errorf(domain.Internal, "qemu-img cannot be run: %w", err)
	}
	lines := bufio.NewScanner(out)
	lines.Split(func(data []byte, end bool) (int, []byte, error) { // it draws its progress over one line
		if i := bytes.IndexAny(data, "\r\n"); i >= 0 {
			return i + 1, data[:i], nil
		}
		if end && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	for lines.Scan() {
		if m := drawn.FindSubmatch(lines.Bytes()); m != nil && progress != nil {
			if p, err := strconv.ParseFloat(string(m[1]), 64); err == nil {
				progress(p)
			}
		}
	}
	err = cmd.Wait()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case strings.Contains(stderr.String(), "No space left"):
		return domain.Errorf(domain.Exhausted, "The disk of the server's data directory is full.").WithFix("Free some space there (unused images can be deleted), then try again.")
	}
	why := strings.TrimPrefix(strings.TrimSpace(stderr.String()), "qemu-img: ")
	if why == "" {
		why = err.Error()
	}
	return domain.Errorf(domain.Invalid, "qemu-img could not convert the image: %s", why).WithFix("Get the file again from where it came from, and compare its checksum.").WithCause(err)
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if extra := len(t.b) - 2048; extra > 0 {
		t.b = t.b[extra:]
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }
