package libvirt

import (
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"slices"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// environment is what a host can do; it changes only when the host is changed, and is asked for once per connection.
type environment struct{ facts domain.HostFacts }

// environment gives the host's abilities, asking on first use.
func (h *host) environment(ctx context.Context) (*environment, error) {
	h.envOnce.Lock()
	defer h.envOnce.Unlock()
	if h.env != nil {
		return h.env, nil
	}
	env, err := h.askEnvironment(ctx)
	if err != nil {
		return nil, err
	}
	h.env = env
	return env, nil
}

func (h *host) askEnvironment(ctx context.Context) (*environment, error) {
	doc, err := get(ctx, h.conn, "tell its capabilities", func(l *golibvirt.Libvirt) (string, error) { return l.ConnectGetCapabilities() })
	if err != nil {
		return nil, err
	}
	caps, err := domxml.ParseCapabilities(doc)
	if err != nil {
		return nil, err
	}
	expanded, err := h.expandCPU(ctx, doc)
	if err != nil {
		return nil, err
	}
	for _, f := range expanded {
		if !slices.Contains(caps.CPUFeatures, f) {
			caps.CPUFeatures = append(caps.CPUFeatures, f)
		}
	}
	machine := golibvirt.OptString(nil)
	if caps.Arch == "x86_64" {
		machine = golibvirt.OptString{"q35"} // the default machine cannot do secure boot
	}
	qemu, err := h.domainCaps(ctx, "qemu", machine)
	if err != nil {
		return nil, err
	}
	kvm, err := h.domainCaps(ctx, "kvm", machine)
	if err != nil {
		return nil, err
	}
	f := domain.HostFacts{Hostname: cmp.Or(h.hostname(ctx), h.uri.Host), UUID: caps.HostUUID, Driver: h.driver, LibvirtVersion: version(h.libVersion)}
	if h.isTest() {
		f.Driver = "TEST"
	}
	chosen := qemu
	if domxml.KVM(caps, kvm).OK {
		chosen = kvm
	}
	domxml.FillFacts(&f, caps, chosen, kvm)
	err = h.do(ctx, "tell its hardware", func(l *golibvirt.Libvirt) error {
		hvVersion, err := l.ConnectGetVersion()
		if err != nil {
			return err
		}
		f.HypervisorVersion = version(hvVersion)
		_, memory, cpus, mhz, nodes, sockets, cores, threads, err := l.NodeGetInfo()
		if err != nil {
			return err
		}
		f.MemoryBytes, f.CPUs, f.CPUMHz = signed(memory)*domain.KiB, int(cpus), int(mhz)
		f.Sockets, f.CoresPerSocket, f.ThreadsPerCore = int(nodes*sockets), int(cores), int(threads)
		if f.NUMANodes == 0 {
			f.NUMANodes = int(nodes)
		}
		if f.MaxVCPUs == 0 {
			most, err := l.ConnectGetMaxVcpus(nil)
			if err != nil && number(err) == 0 {
				return err
			}
			f.MaxVCPUs = int(most)
		}
		return nil
	})
	f.Console = h.consoleWords()
	return &environment{f}, err
}

// domainCaps asks what guests of one kind can have. The test driver, old daemons and hosts without that kind have no answer: then nothing
// is known, which the reader of the facts treats as "no".
func (h *host) domainCaps(ctx context.Context, virtType string, machine golibvirt.OptString) (domxml.DomainCaps, error) {
	doc, err := get(ctx, h.conn, "tell what its guests can have", func(l *golibvirt.Libvirt) (string, error) {
		doc, err := l.ConnectGetDomainCapabilities(nil, nil, machine, golibvirt.OptString{virtType}, 0)
		if number(err) != 0 {
			return "", nil
		}
		return doc, err
	})
	if err != nil || doc == "" {
		return domxml.DomainCaps{}, err
	}
	return domxml.ParseDomainCapabilities(doc)
}

// expandCPU lists every feature of the host's CPU. A model's name stands for many features (EPYC has svm in it), and only libvirt knows which.
func (h *host) expandCPU(ctx context.Context, capabilities string) ([]string, error) {
	var caps struct {
		CPU struct {
			Inner string `xml:",innerxml"`
		} `xml:"host>cpu"`
	}
	if err := xml.Unmarshal([]byte(capabilities), &caps); err != nil || caps.CPU.Inner == "" {
		return nil, nil // no CPU to expand: what ParseCapabilities found is all there is
	}
	doc, err := get(ctx, h.conn, "list its CPU's features", func(l *golibvirt.Libvirt) (string, error) {
		doc, err := l.ConnectBaselineCPU([]string{"<cpu>" + caps.CPU.Inner + "</cpu>"}, golibvirt.ConnectBaselineCPUExpandFeatures)
		if number(err) != 0 {
			return "", nil
		}
		return doc, err
	})
	if err != nil || doc == "" {
		return nil, err
	}
	var cpu struct {
		Features []struct {
			Name   string `xml:"name,attr"`
			Policy string `xml:"policy,attr"`
		} `xml:"feature"`
	}
	if err := xml.Unmarshal([]byte(doc), &cpu); err != nil {
		return nil, nil
	}
	var names []string
	for _, f := range cpu.Features {
		if f.Policy != "disable" && f.Policy != "forbid" {
			names = append(names, f.Name)
		}
	}
	return names, nil
}

func (h *host) Facts(ctx context.Context) (domain.HostFacts, error) {
	env, err := h.askEnvironment(ctx)
	if err != nil {
		return domain.HostFacts{}, err
	}
	h.envOnce.Lock()
	h.env = env
	h.envOnce.Unlock()
	f := env.facts
	if f.PoolTypes, err = h.poolTypes(ctx); err != nil {
		return domain.HostFacts{}, err
	}
	pools, err := h.pools(ctx)
	if err != nil {
		return domain.HostFacts{}, err
	}
	for _, p := range pools {
		if p.Active {
			f.StorageFreeBytes += p.AvailableBytes
			f.StorageTotalBytes += p.CapacityBytes
		}
	}
	return f, nil
}

// address is where the host is reached over the network; empty for transports that tunnel.
func (h *host) address() string {
	if h.uri.Transport != "tcp" && h.uri.Transport != "tls" {
		return ""
	}
	if a, ok := h.remote.(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return "0.0.0.0"
}

func (h *host) consoleWords() string {
	switch h.uri.Transport {
	case "ssh":
		return "Through the SSH connection; screens listen on the host's loopback interface only."
	case "tcp", "tls":
		return fmt.Sprintf("Over the network at %s; every opening sets a one-time password that expires at once.", h.address())
	}
	return "On this machine's loopback interface; nothing is open to the network."
}
