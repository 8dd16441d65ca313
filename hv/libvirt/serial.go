package libvirt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// maxPicture bounds a screenshot: an 8K screen in three bytes a pixel.
const maxPicture = 128 << 20

// running gives the live document of a guest that runs.
func (h *host) running(ctx context.Context, uuid string) (now, string, error) {
	n, err := h.now(ctx, uuid)
	if err != nil {
		return n, "", err
	}
	if n.off() {
		return n, "", domain.Errorf(domain.Conflict, "%s does not run, so there is nothing on its console.", n.Name).WithFix("Start it first.")
	}
	doc, err := h.document(ctx, n.Domain, 0)
	return n, doc, err
}

func (h *host) Serial(ctx context.Context, uuid string) (io.ReadWriteCloser, error) {
	n, doc, err := h.running(ctx, uuid)
	if err != nil {
		return nil, err
	}
	spec, err := domxml.Parse(doc)
	if err != nil {
		return nil, err
	}
	if !spec.Serial {
		return nil, domain.Errorf(domain.Unsupported, "%s has no serial port with a console.", n.Name).WithFix("Add a serial console (type pty) to its definition and start it again.")
	}
	return bounded(ctx, "open the serial console", func(ctx context.Context, closeOnEnd func(io.Closer)) (io.ReadWriteCloser, error) {
		s, d, err := h.openStreamBounded(ctx, uuid, closeOnEnd)
		if err != nil {
			return nil, err
		}
		var w xdrWriter
		w.domain(d)
		w.optString("") // the first console
		w.uint32(uint32(golibvirt.DomainConsoleForce))
		s.proc = procOpenConsole
		if _, err := s.call("open the serial console of "+n.Name, procOpenConsole, w.b); err != nil {
			_ = s.Close()
			return nil, err
		}
		return s, nil
	})
}

func (h *host) Screenshot(ctx context.Context, uuid string) ([]byte, error) {
	n, doc, err := h.running(ctx, uuid)
	if err != nil {
		return nil, err
	}
	if spec, err := domxml.Parse(doc); err != nil {
		return nil, err
	} else if spec.Video == "" && !h.isTest() || spec.Video == "none" {
		return nil, domain.Errorf(domain.Unsupported, "%s has no screen.", n.Name).WithFix("Add a video card to its definition and start it again, or use the serial console.")
	}
	return bounded(ctx, "take a picture of the screen", func(ctx context.Context, closeOnEnd func(io.Closer)) ([]byte, error) {
		s, d, err := h.openStreamBounded(ctx, uuid, closeOnEnd)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		var w xdrWriter
		w.domain(d)
		w.uint32(0) // screen
		w.uint32(0) // flags
		s.proc = procScreenshot
		if _, err := s.call("take a picture of the screen of "+n.Name, procScreenshot, w.b); err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(io.LimitReader(s, maxPicture))
		if err != nil {
			return nil, broken("take a picture of the screen of "+n.Name, err)
		}
		if len(raw) == 0 {
			return nil, domain.Errorf(domain.Unavailable, "The host sent an empty picture of the screen of %s.", n.Name).WithFix("Try again when the VM has drawn something.")
		}
		return toPNG(raw)
	})
}

// openStreamBounded opens a stream connection that closes when the set-up's time is over.
func (h *host) openStreamBounded(ctx context.Context, uuid string, closeOnEnd func(io.Closer)) (*streamConn, domainRef, error) {
	u, err := parseUUID(uuid)
	if err != nil {
		return nil, domainRef{}, err
	}
	raw, err := h.tr.daemon(ctx, &trial{})
	if err != nil {
		return nil, domainRef{}, err
	}
	closeOnEnd(raw)
	return newStream(raw, daemonURI(h.uri), u)
}

// toPNG gives a PNG as it is and turns QEMU's PPM (P6, 8 bits) into one.
func toPNG(raw []byte) ([]byte, error) {
	if bytes.HasPrefix(raw, []byte("\x89PNG\r\n\x1a\n")) {
		return raw, nil
	}
	img, err := decodePPM(raw)
	if err != nil {
		return nil, domain.Errorf(domain.Unsupported, "The host sent a picture of the screen in a format that is not known.").WithCause(fmt.Errorf("%d bytes, starting %.16q: %w", len(raw), raw, err))
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return nil, domain.Errorf(domain.Internal, "The picture of the screen could not be written.").WithCause(err)
	}
	return out.Bytes(), nil
}

func decodePPM(raw []byte) (image.Image, error) {
	bad := errors.New("not a PPM picture of 8 bits")
	if !bytes.HasPrefix(raw, []byte("P6")) {
		return nil, bad
	}
	rest := raw[2:]
	var dims [3]int // width, height, greatest value
	for i := range dims {
		for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\n' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '#') {
			if rest[0] == '#' {
				end := bytes.IndexByte(rest, '\n')
				if end < 0 {
					return nil, bad
				}
				rest = rest[end:]
			}
			rest = rest[1:]
		}
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' && digits < 6 {
			dims[i] = dims[i]*10 + int(rest[digits]-'0')
			digits++
		}
		if digits == 0 {
			return nil, bad
		}
		rest = rest[digits:]
	}
	if len(rest) == 0 || dims[2] != 255 || dims[0] == 0 || dims[1] == 0 || len(rest)-1 < 3*dims[0]*dims[1] {
		return nil, bad
	}
	rest = rest[1:] // one white space ends the header
	img := image.NewRGBA(image.Rect(0, 0, dims[0], dims[1]))
	for i := range dims[0] * dims[1] {
		binary.BigEndian.PutUint32(img.Pix[4*i:], uint32(rest[3*i])<<24|uint32(rest[3*i+1])<<16|uint32(rest[3*i+2])<<8|0xff)
	}
	return img, nil
}
