package domain

import (
	"slices"
	"strings"
	"testing"
)

func TestParseHostURI(t *testing.T) {
	for s, want := range map[string]HostURI{
		"qemu:///system":                     {Driver: "qemu", Transport: "unix", Path: "/system"},
		"qemu+unix:///system?socket=/run/x":  {Driver: "qemu", Transport: "unix", Path: "/system"},
		"qemu+tcp://10.0.0.1/system":         {Driver: "qemu", Transport: "tcp", Host: "10.0.0.1", Path: "/system"},
		"qemu+tcp://[fd00::1]:16510/system":  {Driver: "qemu", Transport: "tcp", Host: "fd00::1", Port: "16510", Path: "/system"},
		"qemu://kvm1/system":                 {Driver: "qemu", Transport: "tls", Host: "kvm1", Path: "/system"},
		"qemu+ssh://root@kvm1:2222/system":   {Driver: "qemu", Transport: "ssh", User: "root", Host: "kvm1", Port: "2222", Path: "/system"},
		"test+tcp://127.0.0.1:20001/default": {Driver: "test", Transport: "tcp", Host: "127.0.0.1", Port: "20001", Path: "/default"},
		"test:///default":                    {Driver: "test", Transport: "unix", Path: "/default"},
	} {
		got, err := ParseHostURI(s)
		got.Query = nil
		if err != nil || got.Driver != want.Driver || got.Transport != want.Transport || got.Host != want.Host || got.Port != want.Port || got.Path != want.Path || got.User != want.User {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "kvm1", "http://x/", "qemu+rsh://h/system", "qemu+tcp:///system", "qemu+unix://h/system", "qemu:///", "qemu://h/elsewhere", "xen:///system", "qemu+tcp://%zz/system", "qemu+ssh://root:geheim@h/system"} {
		if _, err := ParseHostURI(s); !slices.Contains(fields(err), "uri") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestAccelByHand(t *testing.T) {
	untrusted := HostFacts{KVMOffered: true, KVM: Capability{Why: "No svm."}}
	if f := untrusted.Under(AccelKVM); !f.KVM.OK || !strings.Contains(f.KVM.Why, "No svm.") {
		t.Errorf("%+v", f.KVM)
	}
	if f := untrusted.Under(AccelAuto); f.KVM.OK {
		t.Errorf("%+v", f.KVM)
	}
	if f := (HostFacts{}).Under(AccelKVM); f.KVM.OK {
		t.Errorf("trusted where libvirt offers none: %+v", f.KVM)
	}
	if f := (HostFacts{KVMOffered: true, KVM: Capability{OK: true}}).Under(AccelTCG); f.KVM.OK || f.KVM.Why == "" {
		t.Errorf("%+v", f.KVM)
	}
	var p Problems
	CheckHostAccel(&p, "accel", "xen")
	CheckHostAccel(&p, "accel", AccelTCG)
	if len(p) != 1 {
		t.Errorf("%+v", p)
	}
}
