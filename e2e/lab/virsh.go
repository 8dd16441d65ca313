package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// GuestXML describes a guest that boots the lab's kernel and initrd under TCG, with a NIC on the default network, a screen,
// and a serial port that is logged. It is written as an administrator would by hand; nothing in it is NovaCron's.
func GuestXML(name, cmdline string) string {
	return fmt.Sprintf(`<domain type='qemu'>
  <name>%s</name>
  <memory unit='MiB'>160</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>%s/vmlinuz</kernel>
    <initrd>%[2]s/initrd.gz</initrd>
    <cmdline>%[3]s</cmdline>
  </os>
  <features><acpi/><tcg><tb-cache unit='MiB'>64</tb-cache></tcg></features>
  <on_reboot>restart</on_reboot>
  <devices>
    <interface type='network'><source network='default'/><model type='virtio'/></interface>
    <serial type='pty'><log file='/var/log/libvirt/qemu/%[1]s-serial.log' append='on'/></serial>
    <console type='pty'/>
    <graphics type='vnc' autoport='yes' listen='127.0.0.1'/>
    <video><model type='vga'/></video>
    <controller type='usb' model='none'/>
    <memballoon model='virtio'/>
  </devices>
</domain>
`, name, DemoDir, cmdline)
}

// StartGuest defines and starts a guest behind everyone's back, with virsh.
func (h *Host) StartGuest(ctx context.Context, name, cmdline string) error {
	file := filepath.Join(h.Dir, name+".xml")
	if err := os.WriteFile(file, []byte(GuestXML(name, cmdline)), 0o644); err != nil {
		return err
	}
	if _, err := virsh(ctx, h.URI, "define", file); err != nil {
		return err
	}
	_, err := virsh(ctx, h.URI, "start", name)
	return err
}

// WaitSerial waits until a guest of StartGuest has printed the text on its serial port.
func (h *Host) WaitSerial(ctx context.Context, name, text string) error {
	return WaitFile(ctx, filepath.Join(h.Dir, "log/qemu", name+"-serial.log"), text)
}

// WaitState waits until virsh calls the guest's state what is wanted: "running", "shut off", "paused" and so on.
func (h *Host) WaitState(ctx context.Context, name, want string) error {
	return poll(ctx, func() error {
		got, err := virsh(ctx, h.URI, "domstate", name)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("lab: %s is %s, not %s", name, got, want)
		}
		return nil
	})
}

// WaitFile waits until a file holds the text. The file need not be there yet.
func WaitFile(ctx context.Context, path, text string) error {
	var tail []byte
	var at int64
	return poll(ctx, func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		fresh, err := io.ReadAll(io.NewSectionReader(f, at, 1<<30))
		if err != nil {
			return err
		}
		at += int64(len(fresh))
		seen := append(tail, fresh...)
		if bytes.Contains(seen, []byte(text)) {
			return nil
		}
		tail = bytes.Clone(seen[max(0, len(seen)-4096):])
		return fmt.Errorf("lab: %q is not in %s, which ends in %q", text, path, tail[max(0, len(tail)-300):])
	})
}

// poll asks until there is no error, and says the last one when the context ends first.
func poll(ctx context.Context, ask func() error) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-again.C:
		}
	}
}
