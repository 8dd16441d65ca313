package lab

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"sort"
)

// archive is an initial RAM disk in the making: cpio in its "newc" form, which is what kernels unpack.
type archive struct {
	files map[string]archived
}

type archived struct {
	mode         uint32 // with the file's type, as in stat
	data         []byte
	major, minor int // of a device
}

const (
	typeDir     = 0o040000
	typeChar    = 0o020000
	typeRegular = 0o100000
	typeLink    = 0o120000
)

func newArchive() *archive { return &archive{files: map[string]archived{}} }

func (a *archive) dir(path string) { a.files[path] = archived{mode: typeDir | 0o755} }
func (a *archive) link(path, to string) {
	a.files[path] = archived{mode: typeLink | 0o777, data: []byte(to)}
}
func (a *archive) file(path string, mode uint32, data []byte) {
	a.files[path] = archived{mode: typeRegular | mode, data: data}
}
func (a *archive) char(path string, major, minor int) {
	a.files[path] = archived{mode: typeChar | 0o600, major: major, minor: minor}
}

// gzipped writes the files by name, with no times in them: the same content makes the same bytes.
func (a *archive) gzipped() ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(a.files))
	for name := range a.files {
		names = append(names, name)
	}
	sort.Strings(names) // a folder's name comes before what is in it
	at := 0
	write := func(name string, ino int, f archived) error {
		head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
			ino, f.mode, 0, 0, 1, 0, len(f.data), 0, 0, f.major, f.minor, len(name)+1, 0, name)
		for _, part := range [][]byte{[]byte(head), f.data} {
			part = append(part, make([]byte, (4-(at+len(part))%4)%4)...)
			at += len(part)
			if _, err := z.Write(part); err != nil {
				return err
			}
		}
		return nil
	}
	for i, name := range names {
		if err := write(name, i+1, a.files[name]); err != nil {
			return nil, err
		}
	}
	if err := write("TRAILER!!!", 0, archived{}); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
