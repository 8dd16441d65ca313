// Package domain holds the nouns of a NovaCron estate and the rules they obey: hosts, virtual machines, pools, volumes,
// networks, jobs, events, people. It imports the standard library only.
//
// It is for validation, state transitions, units, identifiers and errors: what is true whichever hypervisor, database or
// browser is on the other side. It is not for input and output of any kind: nothing here reads a clock, a file or a socket.
//
// Conventions: sizes are bytes in int64 (fields end in Bytes), times are time.Time in UTC, identifiers are prefixed text
// ("vm_…", "host_…"), and every failure a person may see is an *Error.
package domain
