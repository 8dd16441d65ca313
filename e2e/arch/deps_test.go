// Package arch holds the house to its plan: which room may import which, which libraries stay in which room, how long a file may grow.
// It reads the source through the go tool and imports nothing of ours.
package arch

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "novacron"

type pkg struct {
	ImportPath   string
	Dir          string
	Doc          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
	Standard     bool
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,TestImports,XTestImports,GoFiles,Standard", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for dec.More() {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func room(importPath string) string {
	rest, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return "main"
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// What each room may import of ours; itself is always allowed.
var arrows = map[string][]string{
	"main":     {"handlers", "views", "static", "domain", "hv", "jobs", "db", "auth"},
	"handlers": {"views", "static", "jobs", "db", "auth", "domain"},
	"jobs":     {"hv", "db", "domain", "auth/access"},
	"auth":     {"db", "domain"},
	"hv":       {"domain"},
	"db":       {"domain"},
	"views":    {"domain", "static"},
	"domain":   {},
	"static":   {},
	"e2e":      {},
}

func TestArrowsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		from := room(p.ImportPath)
		allowed, known := arrows[from]
		if !known {
			t.Errorf("%s is a room that the house does not have", from)
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module+"/") {
				continue
			}
			to := room(imp)
			if to == from || slices.Contains(allowed, to) || slices.ContainsFunc(allowed, func(a string) bool { return strings.HasPrefix(imp, module+"/"+a) && strings.Contains(a, "/") }) {
				continue
			}
			t.Errorf("%s imports %s: %s may import only %v", p.ImportPath, imp, from, allowed)
		}
		if from == "e2e" {
			for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				if strings.HasPrefix(imp, module+"/") && room(imp) != "e2e" {
					t.Errorf("%s imports %s: a black box imports nothing of ours", p.ImportPath, imp)
				}
			}
		}
	}
}

// What a terminal runs asks a server and knows nothing of how one works: it imports of ours only what is named here.
func TestTheCommandLineSpeaksHTTPOnly(t *testing.T) {
	for _, p := range packages(t) {
		if at(p) != "handlers/cli" && !strings.HasPrefix(at(p), "handlers/cli/") {
			continue
		}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, module+"/") && imp != module+"/domain" && !strings.HasPrefix(imp, module+"/handlers/cli") {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
	}
}

// Libraries that one room keeps to itself.
var kept = map[string]string{
	"github.com/jmoiron/sqlx":            "db",
	"modernc.org/sqlite":                 "db",
	"github.com/labstack/echo/v4":        "handlers",
	"github.com/danielgtaylor/huma/v2":   "handlers",
	"github.com/digitalocean/go-libvirt": "hv/libvirt",
	"libvirt.org/go/libvirtxml":          "hv/libvirt",
	"github.com/a-h/templ":               "views",
	"github.com/alexedwards/argon2id":    "auth",
	"go.yaml.in/yaml/v3":                 "domain/cloudinit domain/desired handlers/cli", // what people write for cloud-init and for an estate, and files of commands
	"github.com/diskfs/go-diskfs":        "jobs/guest",                                   // makes the ISO of a seed
}

func at(p pkg) string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func TestLibrariesStayInTheirRoom(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			for lib, home := range kept {
				if imp != lib && !strings.HasPrefix(imp, lib+"/") {
					continue
				}
				if slices.ContainsFunc(strings.Fields(home), func(h string) bool { return at(p) == h || strings.HasPrefix(at(p), h+"/") }) || lib == "github.com/a-h/templ" && room(p.ImportPath) == "handlers" {
					continue
				}
				t.Errorf("%s imports %s, which only %s may", p.ImportPath, imp, home)
			}
			if r := room(p.ImportPath); (r == "domain" || r == "static") && !slices.Contains(strings.Fields(kept[imp]), at(p)) && strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
				t.Errorf("%s imports %s: %s keeps to the standard library", p.ImportPath, imp, r)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		switch filepath.Base(p.ImportPath) {
		case "util", "utils", "common", "helpers", "models", "types":
			t.Errorf("%s has a name that says nothing", p.ImportPath)
		}
	}
}

func TestNoFilePasses800Lines(t *testing.T) {
	for _, p := range packages(t) {
		files, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_templ.go") || strings.HasSuffix(f, "_gen.go") {
				continue
			}
			if n := lines(t, f); n > 800 {
				t.Errorf("%s has %d lines", f, n)
			}
		}
	}
}

func lines(t *testing.T, file string) (n int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		n++
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// The top level is fixed: one file of code, and the rooms.
func TestTheTopLevelIsFixed(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "ls-files").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	known := []string{"main.go", "handlers", "views", "static", "domain", "hv", "jobs", "db", "auth", "e2e", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "package.json", "package-lock.json"}
	for file := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(file), "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(known, top) {
			t.Errorf("%s is beside the house", top)
		}
	}
}
