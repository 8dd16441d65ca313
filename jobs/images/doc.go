// Package images keeps the image library: files under the data directory, what they are made of, and their copies on hosts.
//
// A file of the library is named by its checksum and never written again; versions (rows) name it. What comes in is a stranger: it is written
// to incoming/, hashed, and inspected by diskfile, which refuses whatever names another file, before qemu-img sees it with its format spelled
// out, limits on its time, memory and output, and no leave to open a second file. What goes to a host is only ever a file of the library.
//
// A host gets a copy of a file (a volume in one of its pools) the first time something there needs it. The copy is written, read back and
// compared by checksum before its row says "ready"; until then nobody is given it. A copy is only read: VMs get a full copy of it or an overlay on
// it. It is taken away only when no job holds its version, no VM has it as a disk and no volume is built on it, which is looked at on the host
// itself again right before.
//
// A linked clone of a VM never shares a disk that anybody writes to. The original's disk is frozen where it lies: the original and the clone
// each get an overlay of their own on it, and the frozen disk (a "base disk") is from then on only read. So neither can change what the other sees,
// whatever is started, changed or deleted in whatever order. The price is one more level of overlays under the original with each linked clone made of it.
//
// It is not for choosing (jobs/fleet does that), not for making VMs (jobs/provision does, with Place), and not for what a template says (domain).
package images
