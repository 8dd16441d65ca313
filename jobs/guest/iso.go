package guest

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"novacron/domain"
)

// seedBlock is what seeds are padded to, so that an edited one fits into the volume of the one before.
const seedBlock = 1 << 20

// ISO makes a CD image of a few small files. Long names are there for Unix (Rock Ridge) and for Windows (Joliet). The library works in files: they lie in
// a folder that only this account reads, for as long as it takes.
func ISO(label string, files map[string]string) (image []byte, err error) {
	fail := func(err error) ([]byte, error) {
		return nil, domain.Errorf(domain.Internal, "The medium of the first boot could not be made: %w", err).WithFix("See that the server has room for temporary files.")
	}
	dir, err := os.MkdirTemp("", "novacron-seed-") // mode 0700
	if err != nil {
		return fail(err)
	}
	defer func() {
		if rerr := os.RemoveAll(dir); rerr != nil && err == nil {
			image, err = fail(rerr)
		}
	}()
	work := filepath.Join(dir, "files")
	if err := os.Mkdir(work, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.Create(filepath.Join(dir, "seed.iso")) // #nosec G304 -- a fixed name in a directory that was just made
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	fs, err := iso9660.Create(file.New(f, false), 0, 0, 2048, work)
	if err != nil {
		return fail(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := fs.OpenFile("/"+name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			return fail(err)
		}
		_, werr := w.Write([]byte(files[name]))
		if err := errors.Join(werr, w.Close()); err != nil {
			return fail(err)
		}
	}
	if err := fs.Finalize(iso9660.FinalizeOptions{RockRidge: true, Joliet: true, VolumeIdentifier: label}); err != nil {
		return fail(err)
	}
	image, err = os.ReadFile(f.Name())
	if err != nil {
		return fail(err)
	}
	if short := len(image) % seedBlock; short != 0 {
		image = append(image, make([]byte, seedBlock-short)...)
	}
	return image, nil
}
