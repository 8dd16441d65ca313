// Command sprite makes one SVG file of <symbol>s from the Tabler icons that a list names, so that a page shows an icon
// with <use href="…#name"> and the binary carries only the icons that are used.
//
// It is a build tool run by make. It is not for serving icons and knows nothing of pages.
package main

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

func main() {
	list := flag.String("list", "static/icons.txt", "file that names the icons, one a line; filled/NAME takes the filled drawing")
	icons := flag.String("icons", "node_modules/@tabler/icons/icons", "folder with outline/ and filled/")
	out := flag.String("out", "static/vendor/icons.svg", "sprite to write")
	flag.Parse()
	if err := run(*list, *icons, *out); err != nil {
		fmt.Fprintln(os.Stderr, "sprite:", err)
		os.Exit(1)
	}
}

func run(list, icons, out string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg">` + "\n")
	for _, name := range names(string(text)) {
		style, base := "outline", name
		if rest, ok := strings.CutPrefix(name, "filled/"); ok {
			style, base = "filled", rest
		}
		src, err := os.ReadFile(filepath.Join(icons, style, base+".svg"))
		if err != nil {
			return fmt.Errorf("icon %q of %s: %w", name, list, err)
		}
		symbol, err := symbol(strings.ReplaceAll(name, "/", "-"), src)
		if err != nil {
			return fmt.Errorf("icon %q: %w", name, err)
		}
		b.WriteString(symbol)
	}
	b.WriteString("</svg>\n")
	return os.WriteFile(out, b.Bytes(), 0o644)
}

// names reads one name a line; "#" starts a comment. Sorted and without doubles, so that the sprite is reproducible.
func names(text string) []string {
	seen := map[string]bool{}
	var all []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		name := strings.TrimSpace(line)
		if name != "" && !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	sort.Strings(all)
	return all
}

// symbol turns one icon into a <symbol>. The presentation attributes stay on it, because <use> does not inherit them
// from a file's root; class and size go, because the page decides those.
func symbol(id string, src []byte) (string, error) {
	var svg struct {
		XMLName xml.Name   `xml:"svg"`
		Attrs   []xml.Attr `xml:",any,attr"`
		Inner   string     `xml:",innerxml"`
	}
	if err := xml.Unmarshal(src, &svg); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<symbol id="%s"`, id)
	for _, a := range svg.Attrs {
		switch a.Name.Local {
		case "xmlns", "width", "height", "class":
		default:
			fmt.Fprintf(&b, ` %s="%s"`, a.Name.Local, a.Value)
		}
	}
	b.WriteString(">")
	for line := range strings.Lines(svg.Inner) {
		line = strings.TrimSpace(line)
		// Every outline icon starts with an invisible square that only sets its bounds; the viewBox does that.
		if strings.Contains(line, `d="M0 0h24v24H0z"`) {
			continue
		}
		b.WriteString(line)
	}
	b.WriteString("</symbol>\n")
	return b.String(), nil
}
