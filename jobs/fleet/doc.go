// Package fleet is the front door of everything a person may ask the fleet to do: pages, API and command line call it and nothing
// else. It answers at once what can be answered from the database (wrong fields, no such thing, a state that forbids it, a name that is
// taken, a page that is stale, no host with room) and turns the rest into a job with a title, its locks and a resource.
//
// It is not for doing: no call here waits for a host. The one exception is Console, since a stream to a screen cannot be a row.
// Whether somebody may ask is decided before, by auth/access.
package fleet
