package libvirt

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"novacron/hv/libvirt/libvirttest"
)

// killQEMU ends the QEMU of one guest of this daemon, as a crash would. The process is found by the daemon's own directory in its environment of
// mounts: only processes in the daemon's mount namespace are looked at.
func killQEMU(t *testing.T, d *libvirttest.Daemon, name string) {
	t.Helper()
	ns, err := os.Readlink("/proc/" + strconv.Itoa(d.Pid()) + "/ns/mnt")
	must(t, err)
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, dir := range dirs {
		if in, err := os.Readlink(dir + "/ns/mnt"); err != nil || in != ns {
			continue
		}
		cmd, err := os.ReadFile(dir + "/cmdline")
		if err == nil && strings.Contains(string(cmd), "qemu-system") && strings.Contains(string(cmd), "guest="+name+",") {
			pid, err := strconv.Atoi(filepath.Base(dir))
			must(t, err)
			must(t, syscall.Kill(pid, syscall.SIGKILL))
			return
		}
	}
	t.Fatalf("no QEMU of %s", name)
}
