// Package hvtest has an in-memory hypervisor host and the contract that every hv.Host must pass, the fake and libvirt alike.
//
// It is for tests only. The fake is honest where hv.Host's documentation speaks (codes, idempotency, events, pending against live) and simple
// everywhere else: a guest "runs" because a map says so.
package hvtest
