// Package libvirt drives libvirt daemons over their own RPC protocol: it is the implementation of hv.Dialer and hv.Host for real
// hosts, and with domxml the only importer of go-libvirt.
//
// It is for transports (unix, tcp, tls, ssh) with a diagnosis of what failed, for deadlines around a client library that has none,
// and for the translation between libvirt's XML, states, events and error codes and the nouns of domain. Errors are told apart by libvirt's
// code numbers, never by text.
//
// It is not for policy, retries or supervision: a connection that breaks stays broken, and hv/pool makes the next one. XML itself
// is read, built and spliced in domxml; here it only travels.
//
// Three things that go-libvirt does not do are done on the wire below it (see wire.go): a frame that cannot be libvirt's ends the connection
// instead of the process, events are taken off before go-libvirt's router so that none is lost and none can block, and whoever waits for
// an answer is woken when the socket closes.
package libvirt
