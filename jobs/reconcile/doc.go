// Package reconcile keeps the database saying what the hosts say. A Mirror reads a host and writes rows and events, one transaction per
// look; a Reconciler decides when: when a connection stands, when a host reports an event, and slowly on a clock, in case an event
// was lost. Jobs use the same Mirror to record what they have just done, so that there is one way from a host to a row.
//
// Looking twice changes nothing the second time, and nothing is retried inside: the next look comes anyway. A look that began earlier never
// overwrites one that began later, so a slow listing cannot bring back a state that an event has already replaced.
//
// It is not for changing hosts: that is what jobs are for. It does not remove a VM that a job holds or is making; the job decides.
package reconcile
