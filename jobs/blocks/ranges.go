package blocks

import (
	"fmt"
	"strconv"
	"strings"

	"novacron/domain"
)

// ContentRange reads the header of one part of an upload, "bytes 0-99/1000". Without the header, length is everything there is. "bytes */1000" brings nothing and
// says that all of it is there: what a client sends that did not hear the answer to its last part.
func ContentRange(header string, length int64) (offset, total int64, err error) {
	if header == "" {
		return 0, length, nil
	}
	bad := domain.InvalidField("Content-Range", "“"+header+"” is not the range of an upload.", "bytes FIRST-LAST/TOTAL, with as many bytes as are sent")
	rest, ok := strings.CutPrefix(header, "bytes ")
	span, all, ok2 := strings.Cut(rest, "/")
	if n, err := strconv.ParseInt(all, 10, 64); ok && span == "*" && err == nil && n > 0 && length <= 0 {
		return n, n, nil
	}
	first, last, ok3 := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(all, 10, 64)
	if !ok || !ok2 || !ok3 || err1 != nil || err2 != nil || err3 != nil || from < 0 || to < from || total <= to || length >= 0 && length != to-from+1 {
		return 0, 0, bad
	}
	return from, total, nil
}

// Range reads the header of a download, "bytes=0-99", "bytes=100-" or "bytes=-100", against the size there is. part is false when everything is wanted; what
// cannot be satisfied is an error that says so.
func Range(header string, size int64) (offset, length int64, part bool, err error) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") { // several ranges at once are not worth it: all of it is a right answer too
		return 0, size, false, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	switch {
	case !ok || first == "" && err2 != nil || first != "" && err1 != nil || last != "" && err2 != nil:
		return 0, size, false, nil
	case first == "":
		from, to = max(0, size-to), size-1
	case last == "" || to >= size:
		to = size - 1
	}
	if from >= size || to < from {
		return 0, 0, false, &domain.Error{Code: domain.Invalid, Msg: fmt.Sprintf("The content has %d bytes, and nothing of the range %s.", size, header), Fix: "Ask for a range inside of it."}
	}
	return from, to - from + 1, true, nil
}
