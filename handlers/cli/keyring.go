package cli

import (
	"errors"
	"os"
	"runtime"
	"strconv"

	"github.com/zalando/go-keyring"
)

const keyringService = "novacron"

// hasKeyring says whether there is a keyring to ask. Without a session bus of its own a machine's D-Bus library would try to start one.
func (a *app) hasKeyring() bool {
	if a.Getenv("NOVACRON_NO_KEYRING") != "" {
		return false
	}
	if runtime.GOOS != "linux" {
		return true
	}
	if a.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	_, err := os.Stat("/run/user/" + strconv.Itoa(os.Getuid()) + "/bus")
	return err == nil
}

// tokenOf reads the token of a context.
func (a *app) tokenOf(k known) (string, error) {
	if !k.Keyring {
		return k.Token, nil
	}
	token, err := keyring.Get(keyringService, k.Name+" "+k.Server)
	if err != nil {
		return "", &deniedError{"The token of " + k.Name + " cannot be read from the keyring: " + err.Error() + ".", "Unlock the keyring, or sign in again with “novacron login --context " + k.Name + "”."}
	}
	return token, nil
}

// remember puts a token into the keyring, or into the context itself where there is none that works.
func (a *app) remember(k *known, token string) {
	k.Keyring, k.Token = false, token
	if a.hasKeyring() && keyring.Set(keyringService, k.Name+" "+k.Server, token) == nil {
		k.Keyring, k.Token = true, ""
	}
}

// forget takes a token out of the keyring.
func (a *app) forget(k known) error {
	if !k.Keyring {
		return nil
	}
	if err := keyring.Delete(keyringService, k.Name+" "+k.Server); err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return &deniedError{"The token of " + k.Name + " cannot be taken out of the keyring: " + err.Error() + ".", "Unlock the keyring and try again."}
	}
	return nil
}
