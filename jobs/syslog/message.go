package syslog

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"novacron/domain"
)

// facility is “log audit”.
const facility = 13

var severities = map[string]int{"ok": 6, "denied": 4, "refused": 5, "failed": 3}

// sdID names our parameters; 32473 is the number that RFC 5612 gives to who has none of its own.
const sdID = "novacron@32473"

// udpMost is what a datagram may have: what receivers take at least by RFC 5426 is 480, what they should 2048; more than a packet of Ethernet several
// times over is lost too easily.
const udpMost = 8 << 10

// longest keeps a single parameter within what receivers take.
const longest = 4 << 10

// Format writes a row of the audit log as a message of RFC 5424. most bounds its length when it is not 0: then how things were before and after goes first.
func Format(r domain.AuditRecord, host string, most int) []byte {
	severity, ok := severities[r.Outcome]
	if !ok {
		severity = 5
	}
	write := func(details bool, text string) []byte {
		var b strings.Builder
		fmt.Fprintf(&b, "<%d>1 %s %s novacron - %s [%s seq=\"%d\"", facility*8+severity, r.At.UTC().Format("2006-01-02T15:04:05.000Z"), header(host, 255), header(r.Action, 32), sdID, r.Seq)
		for _, p := range [][2]string{{"actor", r.Actor}, {"subject", r.Subject}, {"address", r.Address}, {"proof", r.Proof}, {"action", r.Action}, {"outcome", r.Outcome},
			{"kind", r.Object.Kind}, {"id", r.Object.ID}, {"name", r.Object.Name}, {"tenant", r.Tenant}, {"job", r.JobID}, {"request", r.Request}, {"hash", r.Hash}} {
			param(&b, p[0], p[1])
		}
		if details {
			param(&b, "before", r.Before)
			param(&b, "after", r.After)
		}
		b.WriteString("] \xef\xbb\xbf")
		b.WriteString(plain(text))
		return []byte(b.String())
	}
	out := write(true, r.Message)
	if most > 0 && len(out) > most {
		out = write(false, r.Message)
	}
	if most > 0 && len(out) > most {
		out = write(false, cut(r.Message, 500))
	}
	return out
}

// header makes a field of the header: printable ASCII without spaces, or nothing.
func header(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s = s[:min(len(s), most)]; s == "" {
		return "-"
	}
	return s
}

func param(b *strings.Builder, name, value string) {
	if value == "" {
		return
	}
	b.WriteString(" " + name + `="`)
	b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(plain(cut(value, longest))))
	b.WriteString(`"`)
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

// plain keeps what somebody typed from looking like a message of its own.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}
