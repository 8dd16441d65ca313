// Command lab makes libvirt hosts and the tiny guest by hand: what the tests do, for trying things out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"novacron/e2e/lab"
)

const usage = `lab makes real libvirt hosts on this machine, and a tiny guest for them.

  lab up [--hosts N] [--test-drivers M] [--tls] [--ssh] [--shared] [--dir DIR] [--serve BINARY --listen ADDR]
        makes the hosts, and with --serve runs NovaCron over them, until Ctrl-C
  lab guest --out DIR
        builds the guest: DIR/vmlinuz and DIR/initrd.gz
  lab sweep
        removes what labs left whose process is gone
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	switch word {
	case "up":
		return up(ctx, args[1:])
	case "guest":
		return guest(args[1:])
	case "sweep":
		return lab.Sweep()
	}
	fmt.Fprint(os.Stderr, usage)
	return fmt.Errorf("lab: %q is none of these", word)
}

func guest(args []string) error {
	flags := flag.NewFlagSet("lab guest", flag.ExitOnError)
	out := flags.String("out", "", "folder to put vmlinuz and initrd.gz into")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" {
		return errors.New("lab guest: say where with --out DIR")
	}
	kernel, initrd, err := lab.Guest(*out)
	if err != nil {
		return err
	}
	fmt.Println(kernel)
	fmt.Println(initrd)
	return nil
}

func up(ctx context.Context, args []string) (err error) {
	var opts lab.Options
	var server server
	flags := flag.NewFlagSet("lab up", flag.ExitOnError)
	flags.IntVar(&opts.Hosts, "hosts", 2, "hosts on QEMU")
	flags.IntVar(&opts.TestDrivers, "test-drivers", 0, "hosts on libvirt's test driver")
	flags.IntVar(&opts.TestGuests, "test-guests", 10, "guests on each of those")
	flags.IntVar(&opts.TestVolumes, "test-volumes", 0, "volumes on each of those")
	flags.IntVar(&opts.TestNetworks, "test-networks", 0, "networks on each of those, beside libvirt's own")
	flags.BoolVar(&opts.TLS, "tls", false, "also listen on TLS")
	flags.BoolVar(&opts.SSH, "ssh", false, "also run sshd")
	flags.BoolVar(&opts.Shared, "shared", true, "give the hosts a shared pool")
	flags.StringVar(&opts.Dir, "dir", "", "where the hosts keep their files (default: a folder that goes with them)")
	flags.StringVar(&server.binary, "serve", "", "NovaCron's binary, to serve over the hosts")
	flags.StringVar(&server.listen, "listen", ":8080", "address for --serve")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := lab.Sweep(); err != nil {
		return err
	}
	l, err := lab.Up(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down()) }()
	for _, h := range l.Hosts {
		fmt.Println(h.Name, h.URI, h.TLSURI, h.SSHURI)
	}
	for _, h := range l.TestHosts {
		fmt.Println(h.Name, h.URI)
	}
	if server.binary != "" {
		return server.run(ctx, l)
	}
	fmt.Println("Ctrl-C takes them down.")
	<-ctx.Done()
	return nil
}
