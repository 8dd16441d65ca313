package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/coder/websocket"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"novacron/handlers/cli/client"
)

// escape leaves a console: Ctrl-] as telnet and virsh have it.
const escape = 0x1d

func (a *app) consoleCommand() *cobra.Command {
	vm, open := resourceNamed("vm"), client.Find("get-vm")
	cmd := &cobra.Command{
		Use: "console VM", Short: "Open the serial console in this terminal; Ctrl-] leaves it", Args: exactly("VM"), ValidArgsFunction: a.completePath(vm, open),
		Long: `Open the VM's serial console in this terminal. What is typed goes to the guest, Ctrl-C too;
Ctrl-] leaves. Where the input is no terminal it is sent as it is, and the command ends when
the console does, or --for after the input's end.`,
		Example: "  novacron vm console web-1\n  echo uptime | novacron vm console web-1 --for 2s",
	}
	cmd.Flags().Duration("for", time.Second, "how long to go on reading after the end of an input that is no terminal")
	cmd.RunE = a.with(func(r *run, args []string) error {
		path, err := r.path(vm, open, args)
		if err != nil {
			return err
		}
		conn, err := r.client.Console(r.ctx, path[0], "serial")
		if err != nil {
			return err
		}
		defer conn.CloseNow() //nolint:errcheck // it is closed properly below; this is for the ways out in between
		linger, err := cmd.Flags().GetDuration("for")
		if err != nil {
			return err
		}
		if fd, ok := terminal(r.In); ok {
			fmt.Fprintf(r.Err, "Connected to %s; Ctrl-] leaves.\n", args[0])
			was, err := term.MakeRaw(fd)
			if err != nil {
				return err
			}
			defer func() {
				_ = term.Restore(fd, was)
				fmt.Fprintln(r.Err)
			}()
			linger = 0
		}
		return r.carry(conn, linger)
	})
	return cmd
}

// errLeft says that the person left the console.
var errLeft = errors.New("left")

// carry carries bytes both ways until either end closes, the person leaves, or the input has been over for linger.
func (r *run) carry(conn *websocket.Conn, linger time.Duration) error {
	ctx, end := context.WithCancelCause(r.ctx)
	defer end(nil)
	_, interactive := terminal(r.In)
	// The reading of a terminal cannot be called off; it ends with the process.
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := r.In.Read(buf)
			sent := buf[:n]
			for i, b := range sent {
				if interactive && b == escape {
					sent, err = sent[:i], errLeft
					break
				}
			}
			if len(sent) > 0 && conn.Write(ctx, websocket.MessageBinary, sent) != nil {
				return // the reader below knows why
			}
			if err == io.EOF && linger > 0 {
				select {
				case <-ctx.Done():
				case <-time.After(linger):
				}
			}
			if err != nil {
				end(errLeft)
				return
			}
		}
	}()
	for {
		_, b, err := conn.Read(ctx)
		if err == nil {
			if _, err = r.Out.Write(b); err != nil {
				return err
			}
			continue
		}
		if context.Cause(ctx) == errLeft {
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return nil
		}
		if closed, ok := errors.AsType[websocket.CloseError](err); ok {
			if closed.Code == websocket.StatusNormalClosure {
				return nil
			}
			return &client.UnreachableError{Server: r.client.Server(), Err: errors.New(clean(closed.Reason, false))}
		}
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		return &client.UnreachableError{Server: r.client.Server(), Err: err}
	}
}

func (a *app) screenshotCommand() *cobra.Command {
	vm, op := resourceNamed("vm"), client.Find("get-screenshot")
	cmd := &cobra.Command{
		Use: "screenshot VM", Short: "Save a still picture of the screen", Args: exactly("VM"), ValidArgsFunction: a.completePath(vm, op),
		Example: "  novacron vm screenshot web-1 -o web-1.png\n  novacron vm screenshot web-1 -o - | display",
	}
	cmd.Flags().StringP("output", "o", "", "file to write, a PNG; - is the standard output; otherwise VM.png here")
	cmd.RunE = a.with(func(r *run, args []string) error {
		path, err := r.path(vm, op, args)
		if err != nil {
			return err
		}
		answer, err := r.client.Do(r.ctx, client.Call{Op: op.ID, Path: path})
		if err != nil {
			return err
		}
		to := flag(cmd, "output")
		if to == "-" {
			_, err := r.Out.Write(answer.Body)
			return err
		}
		if to == "" {
			to = fileName(args[0]) + ".png"
		}
		if err := os.WriteFile(to, answer.Body, 0o600); err != nil {
			return err
		}
		fmt.Fprintln(r.Out, to)
		return nil
	})
	return cmd
}

// fileName makes a name that stays in this directory.
func fileName(s string) string {
	out := []rune(clean(s, false))
	for i, c := range out {
		if c == '/' || c == os.PathSeparator || i == 0 && c == '.' {
			out[i] = '-'
		}
	}
	return string(out)
}
