// Package live is where the living page is wired: every URL the pages link to, every DOM id that something is swapped into, and every
// hx-* attribute, as functions that templates spread. Rules about htmx 4 and the event stream therefore live in one place, and a test
// keeps the attributes out of all other packages.
//
// How the pages talk to the server:
//   - Every page and form works without JavaScript: links are GETs of whole pages, actions are POSTs that answer 303.
//   - Filters, sorting, dialogs and forms are enhanced by asking for the same whole page and taking one element out of it (hx-select), so a handler
//     needs no second way to render. A form with errors is the same page with status 422.
//   - Buttons that only act (start, cancel …) are forms marked with Act. htmx posts them with "HX-Request: true"; the answer is any number
//     of Partial elements (a toast, a changed row) with whatever status fits; "HX-Redirect" moves the page. Without htmx the same handler answers 303.
//   - One stream per page (Stream) sends messages without an event name whose data is one or more Partial elements; the message id is the
//     event's Seq, and the browser resumes with Last-Event-ID. A partial whose target is not on the page is ignored by the browser.
//
// It is not for markup or text, and knows no domain.
package live
