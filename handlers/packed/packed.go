// Package packed compresses answers that are kept as they go over the wire. Packing a list of a hundred rows costs more than all the rest of its request,
// so what is asked for over and over is packed once, and not by a middleware each time.
package packed

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// NotWorth is the length below which an answer fits a packet or two as it is.
const NotWorth = 1024

// Taken reports whether who asks takes gzip.
func Taken(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
}

// Gzip packs a body, quickly rather than well.
func Gzip(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w := writers.Get().(*gzip.Writer)
	defer writers.Put(w)
	w.Reset(&out)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

var writers = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}
