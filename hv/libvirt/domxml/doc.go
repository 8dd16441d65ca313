// Package domxml reads, makes and edits libvirt's XML documents: domains, capabilities, pools, volumes, networks, node devices.
// Everything here is a pure function from text to text or to domain types; there is no RPC, no clock, no file.
//
// The documents of guests belong to their owners. A definition that exists is therefore never marshalled again: Edit, CloneXML and the
// Set functions find the exact bytes of the one thing asked for and replace those, so unknown elements, comments, white space, CDATA,
// attribute order and quotes, metadata and foreign namespaces survive byte for byte. Reading is tolerant: what cannot be understood is
// left out of the spec, never an error, unless the text is not XML at all.
//
// It is not for policy beyond the defaults of a new guest, and not for deciding what can be changed while a guest runs: the driver knows that.
package domxml

import "novacron/domain"

// Env is what the host can do, as far as it shapes a document.
type Env struct {
	Facts domain.HostFacts // Driver, Arch, KVM, UEFI, SecureBoot, TPM, Machines, DefaultMachine, Emulator, MaxVCPUs are used

	// GraphicsListen is where a new guest's VNC server listens: "" for the host's loopback, "socket" for a unix socket that libvirt places, or
	// an address. With an address, GraphicsPassword must be set: it is written as already expired, so that nobody gets in until
	// the driver sets a one-time password that is valid.
	GraphicsListen   string
	GraphicsPassword string
}
