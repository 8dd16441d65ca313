package auth

import (
	"bytes"
	"encoding/base64"
	"image/png"

	"github.com/pquerna/otp"

	"novacron/domain"
)

// QR draws an address as a picture that a page can carry in itself.
func QR(address string) (string, error) {
	key, err := otp.NewKeyFromURL(address)
	if err != nil {
		return "", domain.Errorf(domain.Internal, "The QR code could not be drawn: %w", err)
	}
	img, err := key.Image(200, 200)
	if err != nil {
		return "", domain.Errorf(domain.Internal, "The QR code could not be drawn: %w", err)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return "", domain.Errorf(domain.Internal, "The QR code could not be drawn: %w", err)
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(out.Bytes()), nil
}
