package live

import "github.com/a-h/templ"

// HTMXConfig is the content of the htmx-config meta tag: no injected styles (CSP), requests give up after 30 s, going back asks the server anew,
// only the stream extension may register, and a morph leaves open what a person opened.
const HTMXConfig = `{"includeIndicatorCSS":false,"defaultTimeout":30000,"extensions":"sse","history":"reload","morphIgnore":["data-htmx-powered","open","popover","style"]}`

// partial attributes: content goes where target says.
func partial(target, swap string) templ.Attributes {
	return templ.Attributes{"hx-target": "#" + target, "hx-swap": swap}
}

// Connect opens the page's one event stream on this element; what it brings is partials only. The stream has no deadline of its own.
func Connect(stream string) templ.Attributes {
	return templ.Attributes{"hx-sse:connect": stream, "hx-swap": "none", "hx-config": `{"timeout":0}`}
}

// Act makes a form act without leaving the page: the answer is partials (toasts, changed parts). The form keeps its action for browsers without
// JavaScript; url is the same address.
func Act(url string) templ.Attributes {
	return templ.Attributes{"hx-post": url, "hx-swap": "none", "hx-disable": "find button[type=submit]"}
}

// Take makes a link or a GET form fetch the page at url and put its element id in the place of this page's, keeping focus and what is typed;
// the address follows. The stream and what it says above the list are taken along, so that they speak of the list as it is now.
func Take(url, id string) templ.Attributes {
	return templ.Attributes{
		"hx-get": url, "hx-target": "#" + id, "hx-select": "#" + id, "hx-swap": "outerMorph ignoreTitle:true", "hx-push-url": "true",
		"hx-select-oob": "#" + ListCount + ",#" + ListNews + ",#" + StreamHolder, "hx-sync": "#" + id + ":replace",
	}
}

// TakeTyping is Take for a filter form: it asks while the person types.
func TakeTyping(url, id string) templ.Attributes {
	a := Take(url, id)
	a["hx-trigger"] = "submit, input delay:250ms, search"
	return a
}

// TakeChosen is Take for a form of menus: it asks when one is changed.
func TakeChosen(url, id string) templ.Attributes {
	a := Take(url, id)
	a["hx-trigger"] = "submit, change"
	return a
}

// More makes a link append the next page's rows below these, and the pager after it.
func More(url string) templ.Attributes {
	return templ.Attributes{
		"hx-get": url, "hx-target": "#" + ListRows, "hx-select": "#" + ListRows + ">tr", "hx-swap": "beforeend", "hx-select-oob": "#" + ListPager,
	}
}

// Ask makes a link open the page at url as a dialog: the page's element AskRegion goes into it. Without JavaScript the page itself opens.
func Ask(url string) templ.Attributes {
	return templ.Attributes{"hx-get": url, "hx-target": "#" + DialogBody, "hx-select": "#" + AskRegion, "hx-swap": "innerHTML"}
}

// AskForm makes a form inside a dialog post; when it is refused the same page comes back and takes the dialog's place with what was typed, and
// when it succeeds the answer is partials or a redirect, and the script closes the dialog.
func AskForm(url string) templ.Attributes {
	return templ.Attributes{
		"hx-post": url, "hx-target": "#" + DialogBody, "hx-select": "#" + AskRegion, "hx-swap": "innerHTML", "hx-disable": "find button[type=submit]",
	}
}

// AskBulk makes the bulk form post; the answer is a dialog that asks, or partials when it acted.
func AskBulk(url string) templ.Attributes {
	return templ.Attributes{"hx-post": url, "hx-target": "#" + DialogBody, "hx-select": "#" + AskRegion, "hx-swap": "innerHTML"}
}

// Form makes a form post and, when it is refused (422, 409 …), takes the element id out of the page that comes back; what was typed is in it.
func Form(url, id string) templ.Attributes {
	return templ.Attributes{
		"hx-post": url, "hx-target": "#" + id, "hx-select": "#" + id, "hx-swap": "outerMorph", "hx-disable": "find button[type=submit]",
	}
}

// Again makes a control ask for its form's page again when it changes, with everything typed so far, and replace the element id: choices that
// depend on the host. form is the id of the form. It is posted, since passwords are in forms and addresses in logs.
func Again(url, form, id string) templ.Attributes {
	return templ.Attributes{
		"hx-post": url, "hx-trigger": "change", "hx-include": "#" + form, "hx-target": "#" + id, "hx-select": "#" + id, "hx-swap": "outerMorph",
	}
}

// PaletteInput makes the palette's input search while typing.
func PaletteInput() templ.Attributes {
	return templ.Attributes{
		"hx-get": Search, "hx-trigger": "input delay:120ms, focus once", "hx-target": "#" + PaletteResults, "hx-select": "#" + SearchResults + ">*",
		"hx-swap": "innerHTML ignoreTitle:true", "hx-sync": "this:replace",
	}
}

// Fetch makes an element fill the element id with the answer once, when it is first opened (event "open").
func Fetch(url, id string) templ.Attributes {
	return templ.Attributes{"hx-get": url, "hx-trigger": "open once", "hx-target": "#" + id, "hx-swap": "innerHTML"}
}

// refill puts content into the element with this id, keeping what is the same in it, unless it is empty still.
func refill(id string) templ.Attributes {
	return templ.Attributes{"hx-target": "#" + id + ":not(:empty)", "hx-swap": "innerMorph"}
}

// appendOnce puts content at the end of list unless an element with this id is on the page.
func appendOnce(list, id string) templ.Attributes {
	return templ.Attributes{"hx-target": "#" + list + ":not(:has(#" + id + "))", "hx-swap": "beforeend"}
}

// insertOnce puts content at the start of list unless an element with this id is on the page: the target is then nothing.
func insertOnce(list, id string) templ.Attributes {
	return templ.Attributes{"hx-target": "#" + list + ":not(:has(#" + id + "))", "hx-swap": "afterbegin"}
}

// AgainOnClick is Again for a button whose name and value say what to do.
func AgainOnClick(url, form, id string) templ.Attributes {
	a := Again(url, form, id)
	a["hx-trigger"] = "click"
	return a
}

// FormButton makes a second submit button post its form elsewhere, as Form does.
func FormButton(url, id string) templ.Attributes {
	return templ.Attributes{"hx-post": url, "hx-target": "#" + id, "hx-select": "#" + id, "hx-swap": "outerMorph", "hx-disable": "this"}
}

// Once something was held back, later ones are held back too until the person refreshes: the list would have a hole otherwise.
func prependStill(list, news string) templ.Attributes {
	return templ.Attributes{"hx-target": "body:has(#" + news + ":empty) #" + list + ":not(:hover)", "hx-swap": "afterbegin"}
}

func newsWhileHeld(list, news string) templ.Attributes {
	return templ.Attributes{"hx-target": "body:has(#" + list + ":hover) #" + news, "hx-swap": "outerMorph"}
}

// A list of several pages is left alone: the row may be on a later one.
func newsUnlessThere(row, news string) templ.Attributes {
	return templ.Attributes{"hx-target": "body:not(:has(#" + row + ")):not(:has(#" + ListPager + " a)) #" + news, "hx-swap": "outerMorph"}
}
