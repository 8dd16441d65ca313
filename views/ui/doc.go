// Package ui is the kit of parts that every page is built from: icons, badges, times, meters, form fields, tabs, banners, empty states.
// It knows no domain: it is given words, numbers and tones.
//
// It is not for anything that is swapped or posted (package live) nor for the look (static/css/app.css).
package ui

import (
	"fmt"
	"strings"
	"time"
)

// Tones of badges, dots, banners and toasts.
const (
	Neutral = "neutral"
	Info    = "info"
	OK      = "ok"
	Warn    = "warn"
	Bad     = "bad"
)

// Problem is one wrong field of a form.
type Problem struct{ Field, Msg, Want string }

// Problems are all wrong fields of a form.
type Problems []Problem

// For gives the problems of a field.
func (p Problems) For(field string) Problems {
	var out Problems
	for _, x := range p {
		if x.Field == field {
			out = append(out, x)
		}
	}
	return out
}

// Under reports whether any field whose name starts with one of the prefixes is wrong: such a section is opened.
func (p Problems) Under(prefixes ...string) bool {
	for _, x := range p {
		for _, pre := range prefixes {
			if strings.HasPrefix(x.Field, pre) {
				return true
			}
		}
	}
	return false
}

// Option is one choice of a menu.
type Option struct {
	Value, Label string
	Disabled     bool
}

// Tab is one tab of a page.
type Tab struct {
	Label, URL string
	Active     bool
	Count      int // shown when positive
	Mark       bool
}

// Ago prints how long ago t was, as one short phrase.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	if d < 0 {
		return In(-d)
	}
	if d < 5*time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

// In prints a time to come.
func In(d time.Duration) string {
	if d < 5*time.Second {
		return "now"
	}
	return "in " + span(d)
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	case d < 60*24*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	default:
		return fmt.Sprintf("%d months", int(d.Hours()/24/30))
	}
}

// Took prints a duration with the precision that matters.
func Took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

// Hue gives a tag's colour class from its text, so that the same tag looks the same everywhere.
func Hue(text string) string {
	var h uint32 = 2166136261
	for i := 0; i < len(text); i++ {
		h = (h ^ uint32(text[i])) * 16777619
	}
	return fmt.Sprintf("hue%d", h%8)
}

// Plural gives "1 disk" or "3 disks".
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Sorted gives a column head's aria-sort: whether the table is sorted by it, and which way.
func Sorted(on, desc bool) string {
	switch {
	case !on:
		return "none"
	case desc:
		return "descending"
	}
	return "ascending"
}
