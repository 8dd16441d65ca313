// Command gosec looks over the packages of a module with every rule that gosec has, and says what they find.
//
// gosec's own command loads one package after the other, each with a go list of its own, and takes the better part of an hour for this module; this one
// loads all of them at once from the build cache. It is stricter about exceptions besides: each is a comment
//
//	// #nosec G115 -- why this is safe here
//
// on the line of the finding, or alone on the line above it. It names its rules and its reason, and it has to be needed: an exception to which no
// finding belongs any more is a fault as well. Tests (_test.go) and generated files are not looked at.
//
//	cd .ci/gosec && go run . ../..
package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/securego/gosec/v2"
	"github.com/securego/gosec/v2/analyzers"
	"github.com/securego/gosec/v2/rules"
	"golang.org/x/tools/go/packages"
)

type finding struct {
	file        string
	first, last int // lines
	rule, what  string
}

type exception struct {
	file  string
	line  int
	rules []string
	used  map[string]bool
}

// besides are the rules that are not asked of what is not in the binary: the lab, the doubles that tests run against, the programs of the build. All others are.
var besides = map[string]string{
	"G204": "they start daemons and tools with arguments of their own making",
	"G301": "the lab's daemons and guests run as other accounts, which have to get into its directories",
	"G302": "the lab's daemons and guests run as other accounts, which read its files; its keys are written for their owner only",
	"G304": "who runs them names the files, with no more rights than their own",
	"G306": "as G302; and what the build writes is committed for everybody to read",
	"G703": "who runs them names the files, with no more rights than their own",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gosec MODULE-DIRECTORY")
		os.Exit(2)
	}
	faults, count, exceptions, err := look(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gosec: "+err.Error())
		os.Exit(1)
	}
	for _, f := range faults {
		fmt.Println(f)
	}
	fmt.Fprintf(os.Stderr, "gosec: %d packages, %d exceptions, %d faults\n", count, exceptions, len(faults))
	if len(faults) > 0 {
		os.Exit(1)
	}
}

// look gives one line for each finding without an exception and each exception that is not in order, in the order of the files.
func look(dir string) (faults []string, count, exceptions int, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, 0, 0, err
	}
	pkgs, err := packages.Load(&packages.Config{Mode: gosec.LoadMode, Dir: dir}, "./...")
	if err != nil {
		return nil, 0, 0, err
	}
	// The programs of the packaging are files outside of any package: "./..." does not name them.
	loose, err := filepath.Glob(filepath.Join(dir, ".packaging", "*.go"))
	if err != nil {
		return nil, 0, 0, err
	}
	for _, file := range loose {
		more, err := packages.Load(&packages.Config{Mode: gosec.LoadMode, Dir: dir}, file)
		if err != nil {
			return nil, 0, 0, err
		}
		pkgs = append(pkgs, more...)
	}

	config := gosec.NewConfig()
	config.SetGlobal(gosec.Nosec, "true") // every finding is reported; the exceptions are matched below
	var said strings.Builder
	analyzer := gosec.NewAnalyzer(config, false, true, false, 2, log.New(&said, "", 0))
	analyzer.LoadRules(rules.Generate(false).RulesInfo())
	analyzer.LoadAnalyzers(analyzers.Generate(false).AnalyzersInfo())
	product := reachable(pkgs)
	outside := map[string]bool{} // files
	var allowed []*exception
	for _, pkg := range pkgs {
		for _, e := range pkg.Errors {
			faults = append(faults, e.Error())
		}
		analyzer.CheckRules(pkg)
		analyzer.CheckAnalyzers(pkg)
		if !product[pkg.PkgPath] {
			for _, file := range pkg.GoFiles {
				outside[file] = true
			}
		}
		es, fs := excepted(pkg)
		allowed = append(allowed, es...)
		faults = append(faults, fs...)
	}
	// A rule that fell over has looked at nothing, and gosec tells that to its log alone.
	for line := range strings.Lines(said.String()) {
		if strings.Contains(line, "Panic") || strings.HasPrefix(line, "Error") || strings.HasPrefix(line, "Rule error") {
			faults = append(faults, "gosec itself: "+strings.TrimSpace(line))
		}
	}

	issues, _, broken := analyzer.Report()
	for file, errs := range broken {
		faults = append(faults, fmt.Sprintf("%s: %v", file, errs))
	}
	var found []finding
	for _, i := range issues {
		f := finding{file: i.File, rule: i.RuleID, what: i.What}
		first, last, _ := strings.Cut(i.Line, "-")
		if f.first, err = strconv.Atoi(first); err != nil {
			return nil, 0, 0, fmt.Errorf("a finding of %s without a line in %s: %q", i.RuleID, i.File, i.Line)
		}
		f.last = f.first
		if n, err := strconv.Atoi(last); err == nil {
			f.last = n
		}
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.file, b.file), cmp.Compare(a.first, b.first), strings.Compare(a.rule, b.rule))
	})
	for _, f := range slices.Compact(found) {
		if _, off := besides[f.rule]; off && outside[f.file] {
			continue
		}
		if !covered(f, allowed) {
			faults = append(faults, fmt.Sprintf("%s:%d: %s: %s", short(dir, f.file), f.first, f.rule, f.what))
		}
	}
	for _, e := range allowed {
		for _, rule := range e.rules {
			if !e.used[rule] {
				faults = append(faults, fmt.Sprintf("%s:%d: nothing is found here that %s would except", short(dir, e.file), e.line, rule))
			}
		}
	}
	if len(product) == 0 {
		return nil, 0, 0, fmt.Errorf("%s has no main package", dir)
	}
	for i := range faults {
		faults[i] = short(dir, faults[i])
	}
	return faults, len(pkgs), len(allowed), nil
}

// reachable are the packages of the binary: the module's main package and what it imports, directly or not.
func reachable(pkgs []*packages.Package) map[string]bool {
	byPath := map[string]*packages.Package{}
	for _, p := range pkgs {
		byPath[p.PkgPath] = p
	}
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		p := byPath[path]
		if p == nil || seen[path] {
			return
		}
		seen[path] = true
		for imported := range p.Imports {
			visit(imported)
		}
	}
	for _, p := range pkgs {
		if p.Module != nil && p.PkgPath == p.Module.Path {
			visit(p.PkgPath)
		}
	}
	return seen
}

// covered tells whether an exception belongs to the finding, and marks all that do as needed.
func covered(f finding, allowed []*exception) bool {
	ok := false
	for _, e := range allowed {
		if e.file == f.file && e.line >= f.first && e.line <= f.last && slices.Contains(e.rules, f.rule) {
			e.used[f.rule], ok = true, true
		}
	}
	return ok
}

var (
	marked = regexp.MustCompile(`^//\s*#nosec\b`)
	proper = regexp.MustCompile(`^// #nosec (G\d{3}(?:,? G\d{3})*) -- \S+ \S+`)
)

// excepted reads the exceptions of a package. One that stands alone on its lines belongs to the line below.
func excepted(pkg *packages.Package) (es []*exception, faults []string) {
	for _, file := range pkg.Syntax {
		if ast.IsGenerated(file) {
			continue
		}
		path := pkg.Fset.Position(file.Package).Filename
		source, err := os.ReadFile(path)
		if err != nil {
			return es, append(faults, err.Error())
		}
		lines := strings.Split(string(source), "\n")
		for _, group := range file.Comments {
			for _, c := range group.List {
				at := pkg.Fset.Position(c.Pos())
				if strings.HasPrefix(c.Text, "//gosec:") {
					faults = append(faults, fmt.Sprintf("%s:%d: write it as // #nosec RULE -- reason", path, at.Line))
				}
				if !marked.MatchString(c.Text) {
					continue
				}
				m := proper.FindStringSubmatch(c.Text)
				if m == nil {
					faults = append(faults, fmt.Sprintf("%s:%d: an exception names its rules and says why: // #nosec G115 -- why this is safe here", path, at.Line))
					continue
				}
				e := &exception{file: path, line: at.Line, rules: strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' }), used: map[string]bool{}}
				if strings.TrimSpace(lines[at.Line-1][:at.Column-1]) == "" {
					e.line = pkg.Fset.Position(group.End()).Line + 1
				}
				es = append(es, e)
			}
		}
	}
	return es, faults
}

func short(dir, s string) string { return strings.ReplaceAll(s, dir+string(filepath.Separator), "") }
