// Package views_test looks at every page in the states worth looking at: that they render, escape what people typed, carry no inline
// script or style, use each id once, and that a browser under the real content security policy finds them accessible (axe_test.go).
package views_test

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/static"
	"novacron/views/events"
	"novacron/views/hosts"
	"novacron/views/images"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/tasks"
	"novacron/views/templates"
	"novacron/views/vms"

	"github.com/a-h/templ"
)

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var (
	inlineStyle  = regexp.MustCompile(`<[^>]+\sstyle=`)
	inlineScript = regexp.MustCompile(`<script>|<script [^>]*>[^<]|<[^>]+\son[a-z]+="`)
	idAttr       = regexp.MustCompile(`\sid="([^"]*)"`)
	jsHref       = regexp.MustCompile(`(href|action)="(javascript|about):`)
)

func TestPages(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range pages() {
		if seen[p.name] {
			t.Fatalf("two pages are called %s", p.name)
		}
		seen[p.name] = true
		t.Run(p.name, func(t *testing.T) {
			html := render(t, p.c)
			if has(html, evil) || has(html, "<b onclick") {
				t.Error("text of people comes out as markup")
			}
			for _, re := range []*regexp.Regexp{inlineStyle, inlineScript, jsHref} {
				if m := re.FindString(html); m != "" {
					t.Errorf("the content security policy forbids %q", m)
				}
			}
			ids := map[string]bool{}
			for _, m := range idAttr.FindAllStringSubmatch(html, -1) {
				if ids[m[1]] {
					t.Errorf("the id %q stands twice", m[1])
				}
				ids[m[1]] = true
			}
			if n := strings.Count(html, "<h1"); n != 1 {
				t.Errorf("%d h1 headings, want one", n)
			}
		})
	}
}

// TestStreamParts: what the stream sends replaces an element that the page has, under its own id.
func TestStreamParts(t *testing.T) {
	s := shell("x", layout.SectionVMs, "/vms")
	target := regexp.MustCompile(`hx-target="#([a-z0-9_-]+)"`)
	all := ""
	for _, p := range pages() {
		all += render(t, p.c)
	}
	for name, c := range map[string]templ.Component{
		"row": vms.StreamRow(s, sampleList(), sampleVMs()[0]), "gone": vms.StreamGone(s, sampleList(), sampleVMs()[0]), "news": vms.StreamNews(sampleList(), 3), "overview": vms.StreamOverview(s, overview()),
		"vm": vms.StreamPage(s, vmPage("", 0)), "host": hosts.StreamPage(s, hostPage("", 0)), "hostrow": hosts.StreamRow(s, hostRows()[0]), "task": tasks.StreamPage(s, tasks.Page{Job: sampleJobs()[0]}), "taskrow": tasks.StreamRow(s, sampleJobs()[0]),
		"drawer": layout.StreamTask(sampleJobs()[0]), "progress": layout.StreamProgress("job_1", domain.Progress{Percent: 10}), "counts": layout.StreamCounts(s), "treevm": layout.StreamTreeVM(layout.TreeVM{ID: "vm_00", Name: "x"}), "treepools": layout.StreamTreePools(layout.TreePools{Count: 1, Items: []layout.TreePool{{ID: "pool_1", Name: "default"}}}), "treehost": layout.StreamTreeHost(layout.TreeHost{ID: "host_1"}),
		"image list": images.StreamList(s, images.List{Items: sampleImages()}), "image": images.StreamPage(s, images.Page{Image: sampleImages()[0]}), "template list": templates.StreamList(s, templates.List{Items: []domain.Template{sampleTemplate()}}),
		"template": templates.StreamPage(s, templates.Page{Template: sampleTemplate(), Version: sampleTemplate().Versions[0]}),
		"toast":    layout.ToastPartial(layout.Toast{Text: "x"}), "event": events.StreamNew(s, events.List{}, sampleEvents()[0]),
	} {
		html := render(t, c)
		targets := target.FindAllStringSubmatch(html, -1)
		if len(targets) == 0 && name != "event" {
			t.Errorf("%s sends no partial: %s", name, html)
		}
		for _, m := range targets {
			if !has(all, `id="`+m[1]+`"`) {
				t.Errorf("%s replaces #%s, which no page has", name, m[1])
			}
		}
		for part := range strings.SplitSeq(html, "</hx-partial>") {
			m := target.FindStringSubmatch(part)
			if m != nil && has(part, `hx-swap="outerMorph"`) && !has(part, `id="`+m[1]+`"`) {
				t.Errorf("%s: #%s would be replaced by something without that id: %s", name, m[1], part)
			}
		}
		if has(html, evil) {
			t.Errorf("%s: text of people comes out as markup", name)
		}
	}
}

// TestWiringIsInLive: hx-* attributes and partials are written in views/live only.
func TestWiringIsInLive(t *testing.T) {
	wired := regexp.MustCompile(`hx-[a-z]+(:[a-z]+)?\s*=|"hx-[a-z]|<hx-partial|sse-(connect|swap)`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path, "live") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_templ.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if m := wired.Find(b); m != nil {
			t.Errorf("%s: %q belongs into views/live", path, m)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestImports: pages know domain, each other and the static files' addresses; ui knows no domain.
func TestImports(t *testing.T) {
	allowed := []string{"novacron/domain", "novacron/views/", "novacron/static", "github.com/a-h/templ"}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, im := range f.Imports {
			p, _ := strconv.Unquote(im.Path.Value)
			ok := !strings.Contains(strings.SplitN(p, "/", 2)[0], ".") && !strings.HasPrefix(p, "novacron/")
			for _, a := range allowed {
				ok = ok || strings.HasPrefix(p, a)
			}
			if (strings.HasPrefix(path, "ui/") || strings.HasPrefix(path, "live/")) && p == "novacron/domain" {
				ok = false
			}
			if !ok {
				t.Errorf("%s imports %s", path, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestIconsAreListed: every icon that a template names is in the list that the sprite is built from.
func TestIconsAreListed(t *testing.T) {
	b, err := os.ReadFile("../static/icons.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(string(b))
	icon := regexp.MustCompile(`icons\.svg[^"#]*#([a-z0-9-]+)"`)
	for _, p := range pages() {
		for _, m := range icon.FindAllStringSubmatch(render(t, p.c), -1) {
			found := false
			for _, l := range listed {
				found = found || l == m[1]
			}
			if !found {
				t.Errorf("%s uses the icon %q, which static/icons.txt does not list", p.name, m[1])
			}
		}
	}
}

func TestWithoutPermissionNothingIsOffered(t *testing.T) {
	s := shell("x", layout.SectionVMs, "/vms")
	s.Can = func(p string) bool { return strings.HasSuffix(p, ".read") }
	for _, c := range []templ.Component{vms.ListPage(s, sampleList()), vms.ShowPage(s, vmPage("hardware", 0)), hosts.ShowPage(s, hostPage("summary", 0)), tasks.ShowPage(s, tasks.Page{Job: sampleJobs()[2]})} {
		html := render(t, c)
		for _, no := range []string{`value="stop"`, live.VMEdit("vm_00"), live.VMDelete("vm_00"), live.VMNew, live.HostEdit("host_1"), live.HostRemove("host_1"), live.TaskAction("job_3", "retry")} {
			if has(html, no) {
				t.Errorf("a viewer is offered %s", no)
			}
		}
	}
}

func TestStaticURL(t *testing.T) {
	if u := static.URL("css/app.css"); !regexp.MustCompile(`^/static/css/app\.css\?v=[0-9a-f]{10}$`).MatchString(u) {
		t.Errorf("app.css has the address %s", u)
	}
	if u := static.URL("nothing.css"); u != "/static/nothing.css" {
		t.Errorf("a missing file has the address %s", u)
	}
}

func TestToastOffersTheWayBack(t *testing.T) {
	vm := domain.Ref{Kind: "vm", ID: "vm_1", Name: "web"}
	for kind, want := range map[string]string{"vm.pause": live.VMAction("vm_1", "resume"), "vm.save": live.VMAction("vm_1", "restore"), "vm.stop": "", "vm.delete": ""} {
		if got := layout.TaskToast(domain.Job{Kind: kind, Title: "x", Resource: vm}, "/tasks/1").Undo; got != want {
			t.Errorf("%s is taken back by %q, want %q", kind, got, want)
		}
	}
	if got := layout.TaskToast(domain.Job{Kind: "vm.pause"}, "/").Undo; got != "" {
		t.Errorf("a bulk pause is taken back by %q", got)
	}
}
