package lab

import (
	"debug/elf"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// agentAt is where the agent's program is in the guest.
const agentAt = "bin/qemu-ga"

// findAgent returns the files that the QEMU guest agent needs, by their places in the guest: itself, its loader and its libraries, which this machine's
// libvirt and QEMU need too. Empty when one of them is not here: then the guest is one without an agent.
func findAgent() map[string]string {
	for _, root := range []string{"/", partsDir} {
		program := filepath.Join(root, "usr/sbin/qemu-ga")
		if !exists(program) {
			continue
		}
		files := map[string]string{agentAt: program}
		if follow(files, program) {
			return files
		}
	}
	return nil
}

// follow adds what a program or library is linked with.
func follow(files map[string]string, from string) bool {
	f, err := elf.Open(from)
	if err != nil {
		return false
	}
	defer f.Close()
	needs, err := f.ImportedLibraries()
	if err != nil {
		return false
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return false
		}
		loader := strings.TrimRight(string(name), "\x00")
		files[strings.TrimPrefix(loader, "/")] = loader
	}
	for _, name := range needs {
		at, ok := library(name)
		if !ok {
			return false
		}
		to := path.Join("lib", triplet, name)
		if strings.Contains(name, "ld-linux") || files[to] != "" {
			continue
		}
		files[to] = at
		if !follow(files, at) {
			return false
		}
	}
	return true
}

// triplet is Debian's name of this machine's folder of libraries.
var triplet = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]

func library(name string) (string, bool) {
	for _, root := range []string{"/", partsDir} {
		for _, dir := range []string{"lib", "usr/lib"} {
			if at := filepath.Join(root, dir, triplet, name); exists(at) {
				return at, true
			}
		}
	}
	return "", false
}

func addAgent(a *archive, files map[string]string) error {
	for to, from := range files {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		for dir := path.Dir(to); dir != "."; dir = path.Dir(dir) {
			a.dir(dir)
		}
		a.file(to, 0o755, data)
	}
	return nil
}
