package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"novacron/domain"
)

const site, siteName = "https://nova.example.org", "nova.example.org"

var b64 = base64.RawURLEncoding

// device is an authenticator in software.
type device struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	id     []byte
	handle []byte
	count  uint32
	origin string // where the browser thinks it is
	site   string
	flags  protocol.AuthenticatorFlags
}

func newDevice(t *testing.T) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	return &device{t: t, key: key, id: id, origin: site, site: siteName, flags: protocol.FlagUserPresent | protocol.FlagUserVerified}
}

func (d *device) client(what string, challenge protocol.URLEncodedBase64) []byte {
	d.t.Helper()
	out, err := json.Marshal(map[string]any{"type": what, "challenge": challenge.String(), "origin": d.origin, "crossOrigin": false})
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *device) data(flags protocol.AuthenticatorFlags) []byte {
	sum := sha256.Sum256([]byte(d.site))
	out := append(sum[:], byte(flags))
	return binary.BigEndian.AppendUint32(out, d.count)
}

func (d *device) pack(v any) []byte {
	d.t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// create answers a question for a new passkey.
func (d *device) create(options any) []byte {
	d.t.Helper()
	o := options.(protocol.PublicKeyCredentialCreationOptions)
	d.handle = o.User.ID.(protocol.URLEncodedBase64)
	pub, err := webauthncbor.Marshal(webauthncose.EC2PublicKeyData{
		PublicKeyData: webauthncose.PublicKeyData{KeyType: int64(webauthncose.EllipticKey), Algorithm: int64(webauthncose.AlgES256)}, Curve: int64(webauthncose.P256),
		XCoord: d.key.X.FillBytes(make([]byte, 32)), YCoord: d.key.Y.FillBytes(make([]byte, 32)),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	auth := d.data(d.flags | protocol.FlagAttestedCredentialData)
	auth = append(auth, make([]byte, 16)...)
	auth = binary.BigEndian.AppendUint16(auth, uint16(len(d.id)))
	auth = append(append(auth, d.id...), pub...)
	object, err := webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": auth})
	if err != nil {
		d.t.Fatal(err)
	}
	return d.pack(map[string]any{"id": b64.EncodeToString(d.id), "rawId": b64.EncodeToString(d.id), "type": "public-key",
		"response": map[string]any{"clientDataJSON": b64.EncodeToString(d.client("webauthn.create", o.Challenge)), "attestationObject": b64.EncodeToString(object)}})
}

// get answers a question for a passkey that is there.
func (d *device) get(options any) []byte {
	d.t.Helper()
	o := options.(protocol.PublicKeyCredentialRequestOptions)
	d.count++
	client, data := d.client("webauthn.get", o.Challenge), d.data(d.flags)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, d.key, sum[:])
	if err != nil {
		d.t.Fatal(err)
	}
	return d.pack(map[string]any{"id": b64.EncodeToString(d.id), "rawId": b64.EncodeToString(d.id), "type": "public-key",
		"response": map[string]any{"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data), "signature": b64.EncodeToString(sig), "userHandle": b64.EncodeToString(d.handle)}})
}

func TestPasskeys(t *testing.T) {
	a, d, clock := open(t)
	mustAdmin(t, a)
	ctx := t.Context()
	u, err := d.UserByName(ctx, FirstAdmin)
	if err != nil {
		t.Fatal(err)
	}
	me, dev := Subject{Name: u.Name, UserID: u.ID}, newDevice(t)
	_, _, err = a.AskPasskey(ctx, site, PasskeySecond, u.ID)
	wantCode(t, err, domain.Conflict) // there is none yet
	_, _, err = a.AskPasskey(ctx, "https://192.0.2.1", PasskeyAlone, "")
	wantCode(t, err, domain.Unsupported) // an address is no name
	options, state, err := a.AskPasskey(ctx, site, PasskeyAdd, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	answer := dev.create(options)
	_, err = a.AddPasskey(ctx, Subject{Name: "mallory", UserID: "user_other"}, site, "", state, answer)
	wantCode(t, err, domain.Unauthenticated) // asked of somebody else
	codes, err := a.AddPasskey(ctx, me, site, " laptop ", state, answer)
	if err != nil || len(codes) != recoveryCodes {
		t.Fatalf("%v %v", codes, err)
	}
	_, err = a.AddPasskey(ctx, me, site, "laptop", state, answer)
	wantCode(t, err, domain.Unauthenticated) // the same answer again
	if _, state, err = a.AskPasskey(ctx, site, PasskeyAdd, u.ID); err != nil {
		t.Fatal(err)
	}
	_, err = a.AddPasskey(ctx, me, site, "", state, answer)
	wantCode(t, err, domain.Invalid) // of another question
	for _, junk := range []string{"", "{}", "null", `{"id":1}`, string(make([]byte, credentialMost+1))} {
		if _, state, err = a.AskPasskey(ctx, site, PasskeyAdd, u.ID); err != nil {
			t.Fatal(err)
		}
		_, err = a.AddPasskey(ctx, me, site, "", state, []byte(junk))
		wantCode(t, err, domain.Invalid)
	}
	if need, err := a.NeedsFactor(ctx, u.ID); err != nil || !need {
		t.Errorf("%v %v", need, err)
	}
	try := func(what, userID string, change func(*device)) (domain.User, bool, error) {
		t.Helper()
		options, state, err := a.AskPasskey(ctx, site, what, userID)
		if err != nil {
			t.Fatal(err)
		}
		with := *dev
		change(&with)
		answer := with.get(options)
		dev.count = with.count
		got, verified, err := a.CheckPasskey(ctx, site, what, userID, state, answer)
		if err == nil {
			if _, _, again := a.CheckPasskey(ctx, site, what, userID, state, answer); !domain.Is(again, domain.Unauthenticated) {
				t.Errorf("the same answer works twice: %v", again)
			}
		}
		return got, verified, err
	}
	same := func(*device) {}
	for _, what := range []string{PasskeySecond, PasskeySure} {
		if got, verified, err := try(what, u.ID, same); err != nil || got.ID != u.ID || !verified {
			t.Errorf("%s: %+v %v %v", what, got, verified, err)
		}
	}
	if got, verified, err := try(PasskeyAlone, "", same); err != nil || got.ID != u.ID || !verified {
		t.Errorf("alone: %+v %v %v", got, verified, err)
	}
	stranger := newDevice(t)
	for why, change := range map[string]func(*device){
		"another site":         func(d *device) { d.origin = "https://nova.example.com" },
		"another name":         func(d *device) { d.site = "example.com" },
		"without a finger":     func(d *device) { d.flags = protocol.FlagUserPresent },
		"nobody there":         func(d *device) { d.flags = 0 },
		"another key":          func(d *device) { d.key = stranger.key },
		"another passkey":      func(d *device) { d.id = stranger.id },
		"somebody else's name": func(d *device) { d.handle = []byte("user_other") },
	} {
		if got, _, err := try(PasskeyAlone, "", change); !domain.Is(err, domain.Unauthenticated) {
			t.Errorf("%s: %+v %v", why, got, err)
		}
	}
	_, _, err = try(PasskeySecond, u.ID, func(d *device) { d.count = 0 })
	wantCode(t, err, domain.Unauthenticated) // counts backwards: a copy
	dev.count = 100
	options, state, err = a.AskPasskey(ctx, site, PasskeySecond, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	answer = dev.get(options)
	_, _, err = a.CheckPasskey(ctx, site, PasskeySure, u.ID, state, answer)
	wantCode(t, err, domain.Unauthenticated) // asked for something else
	options, state, err = a.AskPasskey(ctx, site, PasskeySecond, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	answer = dev.get(options)
	clock.add(2 * ceremonyFor)
	_, _, err = a.CheckPasskey(ctx, site, PasskeySecond, u.ID, state, answer)
	wantCode(t, err, domain.Unauthenticated) // too late
	off := true
	if _, err := a.EditUser(ctx, theServer, u.ID, UserEdit{FullName: &u.Name}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.MakeUser(ctx, theServer, NewUser{Name: "second", Role: "platform-admin"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.EditUser(ctx, theServer, u.ID, UserEdit{Disabled: &off}); err != nil {
		t.Fatal(err)
	}
	_, _, err = try(PasskeyAlone, "", same)
	wantCode(t, err, domain.Unauthenticated) // disabled
	if err := a.SignedInAs(ctx, u, "a passkey", "192.0.2.1"); err != nil {
		t.Error(err)
	}
}

func TestWhatIsSpentIsForgottenInTime(t *testing.T) {
	var s spent
	now := time.Now()
	if !s.first("a", now, now.Add(time.Minute)) || s.first("a", now, now.Add(time.Minute)) {
		t.Error("a thing is used once")
	}
	if !s.first("b", now.Add(time.Hour), now.Add(2*time.Hour)) || len(s.till) != 1 {
		t.Errorf("%d are remembered", len(s.till))
	}
}
