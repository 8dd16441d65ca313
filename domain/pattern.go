package domain

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is asked first. Those that count to hundreds take milliseconds together, which a command
// in a terminal would spend before it does anything.
type pattern struct {
	text string
	once sync.Once
	re   *regexp.Regexp
}

func lazily(text string) *pattern { return &pattern{text: text} }

// MatchString is regexp's own.
func (p *pattern) MatchString(s string) bool {
	p.once.Do(func() { p.re = regexp.MustCompile(p.text) })
	return p.re.MatchString(s)
}
