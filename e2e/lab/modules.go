package lab

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// wanted are the modules a guest may need, in the order of their importance. Those that a kernel has built in, or not at
// all, are passed over.
var wanted = []string{
	"virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "virtio_balloon", "virtio_scsi", "virtio_rng", "virtio_mem", "virtio_input",
	"sd_mod", "sr_mod", "isofs", "ahci", "ata_piix", "nvme", "e1000", "e1000e", "8139cp",
	"button", "evdev", "gpio_keys", "gpio_pl061", // the power button
	"xhci_pci", "usbhid", "hid_generic", "qemu_fw_cfg", "virtiofs", "loop", "ext4",
}

// modules finds kernel modules and what they need in a tree of modules. It reads each module's own word for what it needs,
// so the tree need not have been indexed by depmod.
type modules struct {
	paths map[string]string // by name
	order []string
	seen  map[string]bool
	data  map[string][]byte // by name, uncompressed
}

func findModules(tree string) (*modules, error) {
	m := &modules{paths: map[string]string{}, seen: map[string]bool{}, data: map[string][]byte{}}
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base, _, ok := strings.Cut(d.Name(), ".ko"); ok && d.Type().IsRegular() {
			m.paths[moduleName(base)] = path
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lab: kernel modules: %w", err)
	}
	for _, name := range wanted {
		if err := m.add(name); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// add puts a module behind everything it needs, which is the order to load them in.
func (m *modules) add(name string) error {
	path, ok := m.paths[name]
	if !ok || m.seen[name] {
		return nil
	}
	m.seen[name] = true
	data, err := readModule(path)
	if err != nil {
		return err
	}
	needs, err := moduleNeeds(data)
	if err != nil {
		return fmt.Errorf("lab: %s: %w", path, err)
	}
	for _, n := range needs {
		if err := m.add(n); err != nil {
			return err
		}
	}
	m.data[name] = data
	m.order = append(m.order, name)
	return nil
}

func readModule(path string) ([]byte, error) {
	tool := map[string]string{".xz": "xz", ".zst": "zstd", ".gz": "gzip"}[filepath.Ext(path)]
	if tool == "" {
		return os.ReadFile(path)
	}
	out, err := exec.Command(tool, "-dc", path).Output()
	if err != nil {
		return nil, fmt.Errorf("lab: unpack %s with %s: %w", path, tool, err)
	}
	return out, nil
}

func moduleNeeds(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("it says nothing of itself")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	var needs []string
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			for _, n := range strings.Split(string(list), ",") {
				needs = append(needs, moduleName(n))
			}
		}
	}
	return needs, nil
}
