package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/term"

	"novacron/domain"
	"novacron/handlers/cli/client"
)

// Forms of output.
const (
	asTable = "table"
	asWide  = "wide"
	asJSON  = "json"
	asYAML  = "yaml"
	asName  = "name"
)

func outputFlag(cmd *cobra.Command, forms ...string) {
	cmd.Flags().StringP("output", "o", forms[0], strings.Join(forms, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
}

// form reads --output.
func (r *run) form(forms ...string) (string, error) {
	f := flag(r.cmd, "output")
	if !slices.Contains(forms, f) {
		return "", &client.UsageError{Msg: "“" + f + "” is not a form of output here.", Fix: "Use one of " + strings.Join(forms, ", ") + "."}
	}
	return f, nil
}

// column is one column of a list: where its value is and how it is shown.
type column struct {
	head, path string
	show       func(json.RawMessage) string
	time       bool // shown by how long ago it was
	wide       bool // only with -o wide
}

// plain shows a value as it is.
func plain(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return s
		}
	case '[':
		var all []json.RawMessage
		if json.Unmarshal(raw, &all) == nil {
			parts := make([]string, len(all))
			for i, e := range all {
				parts[i] = plain(e)
			}
			return strings.Join(parts, ",")
		}
	case '{':
		o, err := split(raw)
		if err != nil {
			return string(raw)
		}
		if name := cmp.Or(o.text("name"), o.text("id")); name != "" {
			return name
		}
		parts := make([]string, 0, len(o))
		for _, p := range o {
			parts = append(parts, string(p.name)+"="+plain(p.raw))
		}
		slices.Sort(parts)
		return strings.Join(parts, ",")
	case 't':
		return "yes"
	case 'f':
		return "no"
	}
	return string(raw)
}

func size(raw json.RawMessage) string {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return plain(raw)
	}
	return domain.FormatBytes(n)
}

func count(raw json.RawMessage) string {
	var all []json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return plain(raw)
	}
	return strconv.Itoa(len(all))
}

func percent(raw json.RawMessage) string {
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return plain(raw)
	}
	return strconv.FormatFloat(f, 'f', 0, 64) + " %"
}

// age shows a time by how long it is away from now.
func (a *app) age(raw json.RawMessage) string {
	var t time.Time
	if text := plain(raw); text == "" || t.UnmarshalText([]byte(text)) != nil {
		return "-"
	}
	d := a.Clock().Sub(t)
	sign := ""
	if d < 0 {
		d, sign = -d, "in "
	}
	switch {
	case d < time.Minute:
		return sign + strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return sign + strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return sign + strconv.Itoa(int(d.Hours())) + "h"
	}
	return sign + strconv.Itoa(int(d.Hours()/24)) + "d"
}

// clean takes out what a terminal would obey: names and messages come from guests and from other people.
func clean(s string, many bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case many && (r == '\n' || r == '\t'):
			return r
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
}

// table prints rows in columns that fit the terminal.
type table struct {
	out    io.Writer
	width  int // 0: as wide as it gets
	head   []string
	rows   [][]string
	colour bool
	quiet  bool // without heads
}

const gap = "  "

func (r *run) table(head []string) *table {
	t := &table{out: r.Out, head: head, colour: r.colours(r.Out)}
	if fd, ok := terminal(r.Out); ok {
		if w, _, err := term.GetSize(fd); err == nil {
			t.width = w
		}
	} else if w, err := strconv.Atoi(r.Getenv("COLUMNS")); err == nil && w > 20 {
		t.width = w
	}
	return t
}

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = clean(cells[i], false)
	}
	t.rows = append(t.rows, cells)
}

// narrow is how far a column may shrink before another does.
const narrow = 8

// widths says how wide each column is: what it holds, and less for the widest where the terminal ends.
func (t *table) widths() []int {
	out := make([]int, len(t.head))
	for i, h := range t.head {
		if !t.quiet {
			out[i] = runewidth.StringWidth(h)
		}
	}
	for _, row := range t.rows {
		for i, c := range row {
			out[i] = max(out[i], runewidth.StringWidth(c))
		}
	}
	if t.width <= 0 {
		return out
	}
	total := len(gap) * (len(out) - 1)
	for _, w := range out {
		total += w
	}
	for total > t.width {
		widest := 0
		for i, w := range out {
			if w > out[widest] {
				widest = i
			}
		}
		if out[widest] <= narrow {
			break
		}
		out[widest]--
		total--
	}
	return out
}

func (t *table) flush() error {
	widths := t.widths()
	var b bytes.Buffer
	line := func(cells []string, paint bool) {
		room := t.width
		for i, c := range cells {
			c = runewidth.Truncate(c, widths[i], "…")
			pad := strings.Repeat(" ", widths[i]-runewidth.StringWidth(c))
			if t.width > 0 { // what still does not fit is cut at the edge, so that no line wraps
				if room <= 0 {
					break
				}
				if runewidth.StringWidth(c) > room {
					c = runewidth.Truncate(c, room, "…")
				}
				room -= widths[i] + len(gap)
			}
			last := i == len(cells)-1
			if last {
				pad = ""
			}
			if paint {
				c = paintState(t.head[i], c)
			}
			b.WriteString(c + pad)
			if !last {
				b.WriteString(gap)
			}
		}
		b.WriteByte('\n')
	}
	if !t.quiet {
		if t.colour {
			b.WriteString("\x1b[1m")
		}
		line(t.head, false)
		if t.colour {
			b.Truncate(b.Len() - 1)
			b.WriteString("\x1b[0m\n")
		}
	}
	for _, row := range t.rows {
		line(row, t.colour)
	}
	_, err := t.out.Write(b.Bytes())
	return err
}

var paints = map[string]string{
	"running": "32", "connected": "32", "succeeded": "32", "active": "32", "resolved": "32", "ready": "32",
	"paused": "33", "queued": "33", "connecting": "33", "saved": "33", "pending": "33", "warning": "33", "acknowledged": "33",
	"crashed": "31", "away": "31", "stuck": "31", "undone": "31", "firing": "31", "failed": "31", "critical": "31",
}

func paintState(head, cell string) string {
	if head != "STATE" && head != "SEVERITY" {
		return cell
	}
	if code := paints[cell]; code != "" {
		return "\x1b[" + code + "m" + cell + "\x1b[0m"
	}
	return cell
}

// printJSON prints an answer as it came, indented.
func (r *run) printJSON(raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := r.Out.Write(b.Bytes())
	return err
}

// printYAML prints an answer in the order in which it came.
func (r *run) printYAML(raw json.RawMessage) error {
	text, err := yamlOf(raw)
	if err != nil {
		return err
	}
	_, err = r.Out.Write(text)
	return err
}

func yamlOf(raw json.RawMessage) ([]byte, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(raw, &n); err != nil { // JSON is YAML
		return nil, err
	}
	block(&n)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&n); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// block takes the braces and the needless quotes of JSON away.
func block(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		block(c)
	}
}

// show prints one thing: as it is in JSON or YAML, else what is said of it, a line for each part.
func (r *run) show(raw json.RawMessage, form, kind string) error {
	switch form {
	case asJSON:
		return r.printJSON(raw)
	case asYAML, asTable, asWide:
		return r.printYAML(raw)
	}
	o, err := objectOf(raw)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.Out, kind+"/"+clean(cmp.Or(o.text("name"), o.text("id")), false))
	return err
}
