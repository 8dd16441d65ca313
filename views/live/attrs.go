package live

import "github.com/a-h/templ"

// HTMXConfig is the content of the htmx-config meta tag: no injected styles (CSP), requests give up after 30 s, only the stream extension.
const HTMXConfig = `{"includeIndicatorCSS":false,"defaultTimeout":30000,"extensions":"sse","history":"reload"}`

// Partial attributes: content goes where target says. Components wrap with the Partial template.
func partial(target, swap string) templ.Attributes {
	return templ.Attributes{"hx-target": "#" + target, "hx-swap": swap}
}

// Connect opens the page's one event stream on this element; what it brings is partials only.
func Connect(stream string) templ.Attributes {
	return templ.Attributes{"hx-sse:connect": stream, "hx-swap": "none"}
}

// Act makes a form act without leaving the page: the answer is partials (toasts, changed parts).
func Act() templ.Attributes {
	return templ.Attributes{"hx-post": "", "hx-swap": "none", "hx-disable": "find button[type=submit]"}
}
