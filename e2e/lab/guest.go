package lab

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

//go:embed guest_init.sh
var guestInit []byte

//go:embed guest_button.sh
var guestButton []byte

//go:embed guest_dhcp.sh
var guestDHCP []byte

//go:embed guest_shutdown.sh
var guestShutdown []byte

//go:embed guest_chpasswd.sh
var guestChpasswd []byte

// Cmdline is the kernel command line that shows the guest on its screen and its serial port, with the heartbeat on.
//
// More may be added: labip=ADDR/LEN for a fixed address and labdhcp=0 for none (else it asks by DHCP), labdirty=N to write
// N MiB of memory each second, labhold=N to fill N MiB of memory once, labbeat=ADDR to send that address an echo request every 10 ms (Lab.Hear), labwrite=N to write to the first N blocks of 64 KiB of /dev/vda without end, labping=ADDR,
// lablog=N to keep a log of checksummed records on /dev/vda while a pattern of N MiB in memory is checked over and over, and labfill=N to write N MiB to that disk first.
//
// The kernel does not test at boot whether the timer's interrupts come in time: without KVM, on a machine that is busy, they do not, and it would panic.
const Cmdline = "console=tty0 console=ttyS0 quiet no_timer_check labtick=1"

// UpMark is what the guest prints on its serial port once it is up; after it come lines "tick N" each second.
const UpMark = "NOVA-GUEST-UP"

// partsDir is where make unpacks a kernel and busybox on machines that have not installed them.
const partsDir = "/var/cache/novacron/guest-parts"

// Guest builds the guest in dir, unless it is there, and returns its kernel and initial RAM disk: Debian's cloud kernel,
// busybox, and the modules for virtual hardware. It boots in seconds without any disk, under TCG too.
func Guest(dir string) (kernel, initrd string, err error) {
	source, tree, err := findKernel()
	if err != nil {
		return "", "", err
	}
	busybox, err := findBusybox()
	if err != nil {
		return "", "", err
	}
	agent := findAgent()
	key, err := guestKey(source, busybox, agent)
	if err != nil {
		return "", "", err
	}
	kernel, initrd = filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd.gz")
	stamp := filepath.Join(dir, ".made-of")
	if was, err := os.ReadFile(stamp); err == nil && string(was) == key && exists(kernel) && exists(initrd) {
		return kernel, initrd, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	disk, err := buildInitrd(tree, busybox, agent)
	if err != nil {
		return "", "", err
	}
	image, err := os.ReadFile(source)
	if err != nil {
		return "", "", err
	}
	for _, w := range []struct {
		path string
		data []byte
	}{{kernel, image}, {initrd, disk}, {stamp, []byte(key)}} {
		if err := replace(w.path, w.data); err != nil {
			return "", "", err
		}
	}
	return kernel, initrd, nil
}

// replace never shows half a file: several tests may want the same guest at once.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, werr := f.Write(data)
	err = errors.Join(werr, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func guestKey(kernel, busybox string, agent map[string]string) (string, error) {
	h := sha256.New()
	paths := []string{kernel, busybox}
	for _, name := range slices.Sorted(maps.Keys(agent)) {
		paths = append(paths, agent[name])
	}
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, path, st.Size(), st.ModTime().UnixNano())
	}
	fmt.Fprintln(h, wanted)
	for _, script := range [][]byte{guestInit, guestButton, guestDHCP, guestShutdown, guestChpasswd} {
		h.Write(script)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func buildInitrd(tree, busybox string, agent map[string]string) ([]byte, error) {
	mods, err := findModules(tree)
	if err != nil {
		return nil, err
	}
	box, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	a := newArchive()
	for _, d := range []string{"bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "lib", "lib/modules", "mnt", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var", "var/run"} {
		a.dir(d)
	}
	a.char("dev/console", 5, 1) // the kernel opens it before anything is mounted
	a.char("dev/null", 1, 3)
	a.file("bin/busybox", 0o755, box)
	a.link("bin/sh", "busybox")
	a.file("init", 0o755, guestInit)
	a.file("etc/dhcp.sh", 0o755, guestDHCP)
	a.file("etc/acpi/PWRF/00000080", 0o755, guestButton)
	a.file("etc/passwd", 0o644, []byte("root::0:0:root:/root:/bin/sh\n"))
	a.file("etc/group", 0o644, []byte("root:x:0:\n"))
	a.file("etc/os-release", 0o644, []byte("ID=novacron-demo\nNAME=\"NovaCron demo guest\"\nPRETTY_NAME=\"NovaCron demo guest\"\n"))
	a.file("sbin/shutdown", 0o755, guestShutdown)
	a.file("sbin/chpasswd", 0o755, guestChpasswd)
	if err := addAgent(a, agent); err != nil {
		return nil, err
	}
	for _, name := range mods.order {
		a.file("lib/modules/"+name+".ko", 0o644, mods.data[name])
	}
	a.file("etc/modules", 0o644, []byte(strings.Join(mods.order, "\n")+"\n"))
	return a.gzipped()
}

// findKernel returns the newest cloud kernel that may be read and its tree of modules.
func findKernel() (image, tree string, err error) {
	for _, root := range []string{"/", partsDir} {
		images, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*-cloud-"+runtime.GOARCH))
		if err != nil {
			return "", "", err
		}
		best := ""
		for _, candidate := range images {
			if best != "" && !versionLess(best, candidate) {
				continue
			}
			if f, err := os.Open(candidate); err == nil {
				if err := f.Close(); err != nil {
					return "", "", err
				}
				best = candidate
			}
		}
		if best == "" {
			continue
		}
		version := strings.TrimPrefix(filepath.Base(best), "vmlinuz-")
		for _, lib := range []string{"lib/modules", "usr/lib/modules"} {
			if tree := filepath.Join(root, lib, version); exists(tree) {
				return best, tree, nil
			}
		}
	}
	return "", "", fmt.Errorf("lab: there is no readable vmlinuz-*-cloud-%s with its modules in / or %s; run make run-deps", runtime.GOARCH, partsDir)
}

// versionLess compares the numbers in two names one by one: 6.1.0-9 comes before 6.1.0-56.
func versionLess(a, b string) bool {
	numbers := func(s string) []int {
		var all []int
		for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
			n, err := strconv.Atoi(f)
			if err != nil {
				continue // longer than any version's number
			}
			all = append(all, n)
		}
		return all
	}
	x, y := numbers(a), numbers(b)
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return len(x) < len(y)
}

// findBusybox returns one that needs no libraries.
func findBusybox() (string, error) {
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox", partsDir + "/bin/busybox", partsDir + "/usr/bin/busybox"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			continue
		}
		static := true
		for _, p := range f.Progs {
			static = static && p.Type != elf.PT_INTERP
		}
		if static {
			return path, nil
		}
	}
	return "", fmt.Errorf("lab: there is no static busybox in /bin or %s; run make run-deps", partsDir)
}

// placeGuest puts the guest where a host's guests can boot it. A lab without the parts for a guest is still a lab.
func placeGuest(dir string) error {
	if _, _, err := findKernel(); err != nil {
		return nil
	}
	kernel, initrd, err := Guest(GuestCache())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, from := range []string{kernel, initrd} {
		to := filepath.Join(dir, filepath.Base(from))
		if exists(to) {
			continue
		}
		if err := os.Link(from, to); err == nil {
			continue
		}
		data, err := os.ReadFile(from) // another file system: copy
		if err != nil {
			return err
		}
		if err := replace(to, data); err != nil {
			return err
		}
	}
	return nil
}

// GuestCache is the folder where labs on this machine share one built guest.
func GuestCache() string { return "/var/cache/novacron/guest" }
