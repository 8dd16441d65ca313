package seal

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"time"

	"novacron/domain"
)

// commandLimit is how long a key service may take to answer.
const commandLimit = 30 * time.Second

// FromCommand gives the box of the key that a command prints: 32 bytes in base64, as a key service decrypts them. What it prints is shown nowhere.
func FromCommand(ctx context.Context, command string) (*Box, error) {
	ctx, stop := context.WithTimeout(ctx, commandLimit)
	defer stop()
	var out, said bytes.Buffer
	// #nosec G204 -- the command is in the configuration of who runs the server, and meant for the shell
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &said, time.Second
	if err := cmd.Run(); err != nil {
		why := strings.TrimSpace(said.String())
		if len(why) > 300 {
			why = why[:300]
		}
		return nil, domain.Errorf(domain.Invalid, "The command that gives the seal key failed: %s", why).WithCause(err).
			WithFix("It prints 32 bytes in base64 on standard output and ends with 0. Run it by hand as the account of the server.")
	}
	return parse(out.String(), "What the command of the seal key printed", "Let it print 32 bytes in base64 and nothing else.")
}

// Fresh gives the box of a new random key, and the key as it is written down.
func Fresh() (*Box, string, error) {
	key, text := newKey()
	b, err := New(key)
	return b, text, err
}

// Derived is the key under which MAC makes codes for a context. It tells nothing of the key that seals.
func (b *Box) Derived(context string) []byte { return b.derive(context) }
