// Package unattend writes the answer file that the installer of Windows reads from any medium it finds: autounattend.xml.
//
// It is not for what the fields may hold (domain.Unattend validates itself) nor for the medium (jobs/guest makes the ISO).
package unattend

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"strings"
	"unicode/utf16"

	"novacron/domain"
)

// Render makes the answer file for the VM called vm: it takes the first disk whole, installs the edition, and goes through without a question.
func Render(u domain.Unattend, vm string, uefi bool) string {
	locale := cmp.Or(u.Locale, "en-US")
	var w writer
	w.raw(`<?xml version="1.0" encoding="utf-8"?>`)
	w.raw(`<unattend xmlns="urn:schemas-microsoft-com:unattend" xmlns:wcm="http://schemas.microsoft.com/WMIConfig/2002/State">`)

	w.raw(`<settings pass="windowsPE">`)
	w.component("Microsoft-Windows-International-Core-WinPE")
	w.raw("<SetupUILanguage>")
	w.text("UILanguage", locale)
	w.raw("</SetupUILanguage>")
	w.locales(locale)
	w.raw("</component>")
	if u.DriverISO != "" {
		w.drivers("Microsoft-Windows-PnpCustomizationsWinPE", u.DriverPath)
	}
	w.component("Microsoft-Windows-Setup")
	w.disks(uefi)
	w.raw("<ImageInstall><OSImage>")
	if u.ImageName != "" {
		w.raw(`<InstallFrom><MetaData wcm:action="add"><Key>/IMAGE/NAME</Key>`)
		w.text("Value", u.ImageName)
		w.raw("</MetaData></InstallFrom>")
	}
	w.raw("<InstallTo><DiskID>0</DiskID>")
	w.text("PartitionID", map[bool]string{true: "3", false: "2"}[uefi])
	w.raw("</InstallTo></OSImage></ImageInstall>")
	w.raw("<UserData><AcceptEula>true</AcceptEula>")
	w.text("Organization", u.Organization)
	if u.ProductKey != "" {
		w.raw("<ProductKey>")
		w.text("Key", u.ProductKey)
		w.raw("<WillShowUI>OnError</WillShowUI></ProductKey>")
	}
	w.raw("</UserData></component></settings>")

	w.raw(`<settings pass="specialize">`)
	w.component("Microsoft-Windows-Shell-Setup")
	w.text("ComputerName", cmp.Or(u.ComputerName, domain.ComputerNameFor(vm)))
	if u.Timezone != "" {
		w.text("TimeZone", u.Timezone)
	}
	w.raw("</component></settings>")

	w.raw(`<settings pass="oobeSystem">`)
	w.component("Microsoft-Windows-International-Core")
	w.locales(locale)
	w.raw("</component>")
	w.component("Microsoft-Windows-Shell-Setup")
	w.raw("<OOBE><HideEULAPage>true</HideEULAPage><HideLocalAccountScreen>true</HideLocalAccountScreen><HideOnlineAccountScreens>true</HideOnlineAccountScreens>" +
		"<HideWirelessSetupInOOBE>true</HideWirelessSetupInOOBE><ProtectYourPC>3</ProtectYourPC></OOBE>")
	w.raw("<UserAccounts><AdministratorPassword>")
	w.text("Value", encoded(u.AdminPassword, "AdministratorPassword"))
	w.raw("<PlainText>false</PlainText></AdministratorPassword></UserAccounts>")
	if u.DriverISO != "" {
		// The guest agent comes with the drivers.
		w.raw(`<FirstLogonCommands><SynchronousCommand wcm:action="add"><Order>1</Order>`)
		w.text("CommandLine", `cmd /c for %d in (D E F G H) do if exist %d:\guest-agent\qemu-ga-x86_64.msi msiexec /qn /i %d:\guest-agent\qemu-ga-x86_64.msi`)
		w.raw("</SynchronousCommand></FirstLogonCommands>")
		w.raw("<AutoLogon><Enabled>true</Enabled><LogonCount>1</LogonCount><Username>Administrator</Username><Password>")
		w.text("Value", encoded(u.AdminPassword, "Password"))
		w.raw("<PlainText>false</PlainText></Password></AutoLogon>")
	}
	w.raw("</component></settings>")
	w.raw("</unattend>")
	return w.String()
}

// encoded is how answer files keep a password from being read over a shoulder: its UTF-16 and the name of its element, in base64. It hides nothing from who has the
// file.
func encoded(password, element string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(password + element)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return base64.StdEncoding.EncodeToString(b)
}

type writer struct{ strings.Builder }

func (w *writer) raw(s string) { w.Builder.WriteString(s + "\n") }

func (w *writer) text(name, value string) {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(value)); err != nil {
		panic(err) // a strings.Builder takes everything
	}
	w.raw("<" + name + ">" + b.String() + "</" + name + ">")
}

func (w *writer) component(name string) {
	w.raw(`<component name="` + name + `" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS">`)
}

func (w *writer) locales(locale string) {
	for _, n := range []string{"InputLocale", "SystemLocale", "UILanguage", "UserLocale"} {
		w.text(n, locale)
	}
}

// drivers names every letter that the driver medium may get; those that are not there are passed over.
func (w *writer) drivers(component, folder string) {
	w.component(component)
	w.raw("<DriverPaths>")
	for i, letter := range []string{"D", "E", "F", "G", "H"} {
		w.raw(`<PathAndCredentials wcm:action="add" wcm:keyValue="` + string(rune('1'+i)) + `">`)
		w.text("Path", letter+`:\`+strings.ReplaceAll(folder, "/", `\`))
		w.raw("</PathAndCredentials>")
	}
	w.raw("</DriverPaths></component>")
}

func (w *writer) disks(uefi bool) {
	type part struct{ kind, size, format, label, letter string }
	parts := []part{{"Primary", "500", "NTFS", "System", ""}, {"Primary", "", "NTFS", "Windows", "C"}}
	if uefi {
		parts = []part{{"EFI", "300", "FAT32", "System", ""}, {"MSR", "16", "", "", ""}, {"Primary", "", "NTFS", "Windows", "C"}}
	}
	w.raw(`<DiskConfiguration><Disk wcm:action="add"><DiskID>0</DiskID><WillWipeDisk>true</WillWipeDisk><CreatePartitions>`)
	for i, p := range parts {
		n := string(rune('1' + i))
		w.raw(`<CreatePartition wcm:action="add"><Order>` + n + `</Order><Type>` + p.kind + `</Type>`)
		if p.size != "" {
			w.raw("<Size>" + p.size + "</Size></CreatePartition>")
		} else {
			w.raw("<Extend>true</Extend></CreatePartition>")
		}
	}
	w.raw("</CreatePartitions><ModifyPartitions>")
	order := 0
	for i, p := range parts {
		if p.format == "" {
			continue
		}
		order++
		w.raw(`<ModifyPartition wcm:action="add"><Order>` + string(rune('0'+order)) + `</Order><PartitionID>` + string(rune('1'+i)) + `</PartitionID><Format>` + p.format + `</Format><Label>` + p.label + `</Label>`)
		if p.letter != "" {
			w.raw("<Letter>" + p.letter + "</Letter>")
		}
		if i == 0 && !uefi {
			w.raw("<Active>true</Active>")
		}
		w.raw("</ModifyPartition>")
	}
	w.raw("</ModifyPartitions></Disk></DiskConfiguration>")
}
