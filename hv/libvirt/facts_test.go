package libvirt

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
)

// The features that a CPU model stands for are seen, because svm hides in models such as EPYC.
func TestCPUModelsAreExpanded(t *testing.T) {
	h := dialURI(t, daemon(t).UnixURI())
	ctx := ctxFor(t, wait)
	doc := "<capabilities><host><cpu><arch>x86_64</arch><model>Opteron_G3</model><vendor>AMD</vendor><topology sockets='1' dies='1' cores='1' threads='1'/></cpu></host></capabilities>"
	features, err := h.expandCPU(ctx, doc)
	must(t, err)
	if !slices.Contains(features, "svm") || !slices.Contains(features, "sse2") {
		t.Errorf("Opteron_G3 has %v", features)
	}
	for _, odd := range []string{"", "<capabilities/>", "<capabilities><host><cpu><nonsense/></cpu></host></capabilities>"} {
		if features, err := h.expandCPU(ctx, odd); err != nil || len(features) != 0 {
			t.Errorf("%q: %v %v", odd, features, err)
		}
	}
	real, err := get(ctx, h.conn, "tell its capabilities", func(l *golibvirt.Libvirt) (string, error) { return l.ConnectGetCapabilities() })
	must(t, err)
	own, err := h.expandCPU(ctx, real)
	must(t, err)
	f, err := h.Facts(ctx)
	must(t, err)
	if hardware := slices.Contains(own, "svm") || slices.Contains(own, "vmx"); f.KVM.OK && !hardware {
		t.Errorf("KVM is taken without svm or vmx: %s", f.KVM.Why)
	}
	t.Logf("%d features of this host; KVM %+v", len(own), f.KVM)
}

func TestSocketsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		err   error
		step  string
		words string
	}{
		{fs.ErrNotExist, stepDaemon, "no socket"}, {fs.ErrPermission, stepPermission, "group libvirt"}, {syscall.ECONNREFUSED, stepDaemon, "does not run"}, {errors.New("odd"), stepRoute, "could not be connected"},
	} {
		tr := &trial{}
		err := explainSocket(tr, "/run/libvirt/libvirt-sock", c.err)
		last := tr.steps[0]
		if err == nil || last.OK || last.Name != c.step || !strings.Contains(last.Msg+last.Fix, c.words) {
			t.Errorf("%v: %+v", c.err, last)
		}
	}
	for path, want := range map[string]string{"/system": "/run/libvirt/libvirt-sock /run/libvirt/virtqemud-sock", "/session": "/run/user/7/libvirt/libvirt-sock /run/user/7/libvirt/virtqemud-sock"} {
		if got := strings.Join(socketPaths(domain.HostURI{Driver: "qemu", Path: path}, "/run/user/7"), " "); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}
