package domxml

import (
	"strconv"
	"strings"

	"novacron/domain"
)

// changeDisks sets what was asked for on disks that are there.
func (e *editor) changeDisks(c domain.VMChange) error {
	for _, ch := range c.ChangeDisks {
		if !diskNode(e.root, ch.Target).exists() {
			return noDisk(ch.Target)
		}
		target := ch.Target
		if ch.Bus != nil {
			var err error
			if target, err = e.diskBus(target, *ch.Bus); err != nil {
				return err
			}
		}
		if ch.IOThread != nil {
			if err := e.driver(target, "iothread", ioThread(domain.Disk{IOThread: *ch.IOThread})); err != nil {
				return err
			}
			if err := e.needThreads(*ch.IOThread); err != nil {
				return err
			}
		}
		for _, a := range []struct {
			name string
			v    *string
		}{{"cache", ch.Cache}, {"discard", ch.Discard}} {
			if a.v == nil {
				continue
			}
			if err := e.driver(target, a.name, *a.v); err != nil {
				return err
			}
		}
		if ch.Serial != nil && *ch.Serial != diskNode(e.root, target).kid("serial").value() {
			if err := e.setChildText(diskNode(e.root, target), "serial", *ch.Serial, "target"); err != nil {
				return err
			}
		}
		if ch.Tune != nil {
			if err := e.tune(target, *ch.Tune); err != nil {
				return err
			}
		}
	}
	return nil
}

// driver sets an attribute of a disk's driver; an empty value takes it away.
func (e *editor) driver(target, name, value string) error {
	drv := diskNode(e.root, target).kid("driver")
	switch {
	case drv.attr(name) == value:
		return nil
	case value == "":
		return e.dropAttr(drv, name)
	case !drv.exists():
		return e.insert(diskNode(e.root, target), element("driver", "", "name", "qemu", name, value))
	}
	return e.setAttr(drv, name, value)
}

// tune writes the limits; those that this program has no word for (bursts, groups) stay.
func (e *editor) tune(target string, want domain.DiskTune) error {
	var was domain.Disk
	parseDiskOptions(diskNode(e.root, target), &was)
	if was.Tune == want {
		return nil
	}
	if !diskNode(e.root, target).kid("iotune").exists() {
		return e.insert(diskNode(e.root, target), tuneXML(want), "target")
	}
	for _, f := range tuneFields(&want) {
		at := func() *node { return diskNode(e.root, target).kid("iotune") }
		text := ""
		if *f.n > 0 {
			text = strconv.FormatInt(*f.n, 10)
		}
		if at().kid(f.name).value() == text {
			continue
		}
		if err := e.setChildText(at(), f.name, text); err != nil {
			return err
		}
	}
	if n := diskNode(e.root, target).kid("iotune"); len(n.kids) == 0 {
		return e.remove(n)
	}
	return nil
}

// diskBus puts a disk on another bus: under the first free name of it, and at an address that libvirt chooses anew.
func (e *editor) diskBus(target, bus string) (string, error) {
	n := diskNode(e.root, target)
	if n.kid("target").attr("bus") == bus {
		return target, nil
	}
	for _, kid := range []string{"address", "alias"} {
		if k := diskNode(e.root, target).kid(kid); k.exists() {
			if err := e.remove(k); err != nil {
				return target, err
			}
		}
	}
	if bus != "virtio" {
		if err := e.driver(target, "iothread", ""); err != nil {
			return target, err
		}
	}
	if err := e.setAttr(diskNode(e.root, target).kid("target"), "bus", bus); err != nil {
		return target, err
	}
	if prefix := busPrefix[bus]; !strings.HasPrefix(target, prefix) {
		taken := map[string]bool{}
		for _, d := range parseDomain(e.root).Disks {
			taken[d.Target] = true
		}
		name := freeTarget(prefix, taken)
		if err := e.setAttr(diskNode(e.root, target).kid("target"), "dev", name); err != nil {
			return target, err
		}
		e.note("The disk %s is called %s on the bus %s.", target, name, bus)
		target = name
	}
	if bus == "scsi" && !e.hasController("scsi") {
		return target, e.addDevice(scsiController, "controller", "disk")
	}
	return target, nil
}

// needThreads sees that the guest has I/O threads up to a number.
func (e *editor) needThreads(n int) error {
	have := number(e.root.kid("iothreads").value())
	if n <= have {
		return nil
	}
	if ids := e.root.kid("iothreadids"); ids.exists() {
		for _, k := range ids.all("iothread") {
			if number(k.attr("id")) == n {
				return nil
			}
		}
		return domain.Errorf(domain.Unsupported, "This VM's I/O threads are numbered by hand, and there is none with the number %d.", n).WithFix("Choose one of those that it has.")
	}
	if k := e.root.kid("iothreads"); k.exists() {
		return e.setText(k, strconv.Itoa(n))
	}
	return e.insert(e.root, element("iothreads", strconv.Itoa(n)), "vcpus", "vcpu", "currentMemory", "memory", "name")
}
