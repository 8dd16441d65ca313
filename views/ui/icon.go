package ui

import (
	"html"
	"sync"

	"github.com/a-h/templ"

	"novacron/static"
)

// icons are drawn once: a list has hundreds of them, of a few kinds.
var icons sync.Map

// Icon is a decorative picture from the sprite; words beside it carry the meaning.
func Icon(name string) templ.Component {
	if c, ok := icons.Load(name); ok {
		return c.(templ.Component)
	}
	n := html.EscapeString(name)
	c := templ.Raw(`<svg class="i i-` + n + `" aria-hidden="true" width="16" height="16"><use href="` + static.URL("vendor/icons.svg") + `#` + n + `"></use></svg>`)
	icons.Store(name, c)
	return c
}
