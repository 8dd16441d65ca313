package domxml

import (
	"os"
	"reflect"
	"testing"

	"novacron/domain"
)

func TestProcessorsThereAndBack(t *testing.T) {
	want := domain.CPUModel{Model: "EPYC", Vendor: "AMD", Features: []domain.CPUFeature{{Name: "aes", Policy: "require"}, {Name: "svm", Policy: "disable"}}}
	doc, err := CPUXML(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseCPU(doc); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v (%v) from\n%s", got, err, doc)
	}
	if got, err := GuestCPU("<domain><name>x</name>" + doc + "</domain>"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("in a guest: %+v (%v)", got, err)
	}
	for _, doc := range []string{"<domain/>", "<domain><cpu mode='host-passthrough'/></domain>", "<domain><cpu mode='maximum'><feature policy='disable' name='svm'/></cpu></domain>"} {
		if got, err := GuestCPU(doc); err != nil || got.Model != "" {
			t.Errorf("%s: %+v (%v)", doc, got, err)
		}
	}
	for _, bad := range []domain.CPUModel{{}, {Model: "a\x01"}, {Model: "a", Features: []domain.CPUFeature{{Name: "\x02"}}}} {
		if _, err := CPUXML(bad); !domain.Is(err, domain.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := ParseCPU("<domain/>"); err == nil {
		t.Error("another document is a processor")
	}
}

func TestTheMostThatAGuestCanHave(t *testing.T) {
	doc, err := os.ReadFile("testdata/domcapabilities-qemu-q35.xml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := HostModelCPU(string(doc))
	if err != nil || c.Model != "EPYC" || c.Vendor != "AMD" || len(c.Features) < 5 || c.Features[0] != (domain.CPUFeature{Name: "acpi", Policy: "require"}) {
		t.Errorf("%+v (%v)", c, err)
	}
	if c, err = HostModelCPU("<domainCapabilities><cpu><mode name='host-model' supported='no'/></cpu></domainCapabilities>"); err != nil || c.Model != "" {
		t.Errorf("a host that does not tell: %+v (%v)", c, err)
	}
}
