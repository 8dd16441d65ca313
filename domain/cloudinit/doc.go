// Package cloudinit writes what cloud-init's NoCloud source reads on a guest's first boot, and checks what people write themselves: it names
// the line and the key that is wrong before a guest ignores it in silence.
//
// Documents are written by hand with every scalar quoted, so that no value can become syntax. Reading them needs a real YAML parser, which
// is the one library this package may import.
//
// It is not for the medium (jobs/guest makes the ISO) nor for what each field may hold (domain.CloudInit validates itself).
package cloudinit
