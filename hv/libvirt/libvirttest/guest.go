package libvirttest

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// EchoGuest gives a kernel and an initrd, as the daemon sees them, of a Linux that answers every line on its console with "echo: " and the
// line, after it printed "ready". It powers off on the line "off".
func (d *Daemon) EchoGuest() (kernel, initrd string, err error) {
	kernel, err = findKernel()
	if err != nil {
		return "", "", err
	}
	busybox, err := findBusybox()
	if err != nil {
		return "", "", err
	}
	init := "#!/bin/busybox sh\necho ready\nwhile read line; do\n [ \"$line\" = off ] && /bin/busybox poweroff -f\n echo \"echo: $line\"\ndone\n"
	var b bytes.Buffer
	for _, f := range []struct {
		name string
		mode int
		data []byte
	}{
		{"bin", 0o40755, nil}, {"dev", 0o40755, nil}, {"dev/console", 0o20600, nil}, {"bin/busybox", 0o100755, busybox}, {"init", 0o100755, []byte(init)}, {"TRAILER!!!", 0, nil},
	} {
		major, minor := 0, 0
		if f.mode&0o170000 == 0o20000 {
			major, minor = 5, 1
		}
		// "newc" of cpio(5): inode, mode, uid, gid, links, time, size, device, device of the node, length of the name, no checksum.
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", b.Len(), f.mode, 0, 0, 1, 0, len(f.data), 0, 0, major, minor, len(f.name)+1, 0)
		b.WriteString(f.name + "\x00")
		pad(&b)
		b.Write(f.data)
		pad(&b)
	}
	initrd, err = d.Image("echo-initrd", b.Bytes())
	return kernel, initrd, err
}

// parts are where a kernel and busybox may be: installed, or unpacked by make on a machine that has not installed them.
var parts = []string{"/", "/var/cache/novacron/guest-parts"}

func findKernel() (string, error) {
	for _, root := range parts {
		kernels, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*-cloud-amd64"))
		if err != nil {
			return "", err
		}
		if len(kernels) > 0 {
			return slices.Max(kernels), nil
		}
	}
	return "", errors.New("libvirttest: no vmlinuz-*-cloud-amd64; run make run-deps")
}

// findBusybox wants one that needs no libraries: there are none in the guest.
func findBusybox() ([]byte, error) {
	for _, root := range parts {
		data, err := os.ReadFile(filepath.Join(root, "bin/busybox"))
		if err != nil {
			continue
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			return data, nil
		}
	}
	return nil, errors.New("libvirttest: no static busybox; run make run-deps")
}

func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
