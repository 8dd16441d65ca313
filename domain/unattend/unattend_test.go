package unattend

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"novacron/domain"
)

func TestAnswerFile(t *testing.T) {
	u := domain.Unattend{AdminPassword: `geheim<&>"42`, Locale: "de-DE", ProductKey: "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE", ImageName: "Windows Server 2022 <SERVERSTANDARD>", DriverISO: "/iso/virtio-win.iso", DriverPath: "2k22/amd64"}
	var p domain.Problems
	u.Validate(&p, "windows.")
	if len(p) > 0 {
		t.Fatalf("%+v", p)
	}
	for _, uefi := range []bool{false, true} {
		got := Render(u, "web_01.example", uefi)
		dec := xml.NewDecoder(strings.NewReader(got))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in\n%s", err, got)
			}
		}
		for _, want := range []string{"<ComputerName>WEB-01-EXAMPLE</ComputerName>", "<UILanguage>de-DE</UILanguage>", "<Key>AAAAA-", "&lt;SERVERSTANDARD&gt;", `<Path>D:\2k22\amd64</Path>`, "qemu-ga-x86_64.msi",
			map[bool]string{true: "<Type>EFI</Type>", false: "<Active>true</Active>"}[uefi], "<PartitionID>" + map[bool]string{true: "3", false: "2"}[uefi]} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
		if strings.Contains(got, "geheim") {
			t.Error("the password can be read over a shoulder")
		}
	}
	b, err := base64.StdEncoding.DecodeString(encoded("ä", "Password"))
	if err != nil || string(b[:4]) != "\xe4\x00P\x00" {
		t.Errorf("%q %v", b, err)
	}
}

func TestWrongFields(t *testing.T) {
	for field, u := range map[string]domain.Unattend{
		"computer_name":  {ComputerName: "12345", AdminPassword: "x"},
		"admin_password": {},
		"locale":         {AdminPassword: "x", Locale: "</a>"},
		"product_key":    {AdminPassword: "x", ProductKey: "AAA"},
		"image_name":     {AdminPassword: "x", ImageName: "a\nb"},
		"driver_iso":     {AdminPassword: "x", DriverISO: "../x"},
		"driver_path":    {AdminPassword: "x", DriverISO: "/x", DriverPath: `..\x`},
	} {
		var p domain.Problems
		u.Validate(&p, "")
		if len(p) == 0 || p[0].Field != field {
			t.Errorf("%s: %+v", field, p)
		}
	}
	if got := domain.ComputerNameFor("1234567890123456"); got != "VM-123456789012" {
		t.Error(got)
	}
}
