package series

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"

	"novacron/domain"
)

// SentMost bounds the series that senders may have at the same time: what they send is for facts of hosts, and a label that never repeats would fill memory.
const SentMost = 50_000

const (
	sentBytes  = 32 << 20         // of one batch, once it is unpacked
	sentLabels = 40               // of one series
	sentText   = 1024             // bytes of a label's value
	sentFor    = 30 * time.Minute // a series counts so long after its newest sample
	sentAhead  = 10 * time.Minute // a sender's clock may be so far ahead
)

// sent knows which series senders have.
type sent struct {
	mu    sync.Mutex
	seen  map[uint64]time.Time // hash of labels -> when something came of it
	swept time.Time
}

// HostOf finds a host by a name that a sender gives it.
type HostOf func(name string) (domain.Host, bool)

// Receive keeps what a sender of Prometheus' remote write (version 1: snappy and protobuf) sends. Each series has to be of a host: its label host, or its label
// instance without the port, names one. What is ours is not a sender's to say: names that begin with novacron_, and the labels host_id, vm, vm_id and tenant. A
// batch is kept as a whole or refused as a whole, but for samples that are too old or there already.
func (s *Store) Receive(ctx context.Context, body []byte, now time.Time, hostOf HostOf) (kept int, err error) {
	size, err := snappy.DecodedLen(body)
	if err != nil {
		return 0, unreadable(err)
	}
	if size > sentBytes {
		return 0, domain.Errorf(domain.Invalid, "The batch is %s when it is unpacked.", domain.FormatBytes(int64(size))).WithFix("Send at most %s at once.", domain.FormatBytes(sentBytes))
	}
	raw, err := snappy.Decode(nil, body)
	if err != nil {
		return 0, unreadable(err)
	}
	var req prompb.WriteRequest
	if err := req.Unmarshal(raw); err != nil {
		return 0, unreadable(err)
	}
	all := make([]labels.Labels, len(req.Timeseries))
	b := labels.NewScratchBuilder(16)
	for i := range req.Timeseries {
		x := &req.Timeseries[i]
		if len(x.Histograms) > 0 {
			return 0, domain.Errorf(domain.Invalid, "Native histograms are not kept here.").WithFix("Send them as classic ones: send_native_histograms: false.")
		}
		if all[i], err = bound(&b, x.Labels, hostOf); err != nil {
			return 0, err
		}
	}
	if err := s.sent.admit(all, now); err != nil {
		return 0, err
	}
	if err := s.room.enough(s.dir, s.opt.Reserve); err != nil {
		return 0, err
	}
	app := s.db.Appender(ctx)
	for i := range req.Timeseries {
		for _, p := range req.Timeseries[i].Samples {
			if p.Timestamp > now.Add(sentAhead).UnixMilli() {
				return 0, errors.Join(domain.Errorf(domain.Invalid, "A sample is of %s, which is not yet.", time.UnixMilli(p.Timestamp).UTC().Format(time.RFC3339)).WithFix("Set the sender's clock."), app.Rollback())
			}
			_, err := app.Append(0, all[i], p.Timestamp, p.Value)
			switch {
			case err == nil:
				kept++
			case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrDuplicateSampleForTimestamp), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrTooOldSample):
				s.refused.Add(1)
			default:
				return 0, errors.Join(edge(err), app.Rollback())
			}
		}
	}
	err = edge(app.Commit())
	s.room.tried(err)
	return kept, err
}

func unreadable(err error) error {
	return domain.Errorf(domain.Invalid, "The batch cannot be read: %w", err).WithFix("Send Prometheus' remote write, version 1: snappy and protobuf.")
}

// bound makes the labels of a series: those that were sent, with the host's own.
func bound(b *labels.ScratchBuilder, sent []prompb.Label, hostOf HostOf) (labels.Labels, error) {
	no := func(format string, args ...any) (labels.Labels, error) {
		return labels.EmptyLabels(), domain.Errorf(domain.Invalid, format, args...)
	}
	if len(sent) > sentLabels {
		return no("A series has %d labels, and at most %d are taken.", len(sent), sentLabels)
	}
	b.Reset()
	var metric, host, instance string
	for _, l := range sent {
		if len(l.Value) > sentText || !model.LegacyValidation.IsValidLabelName(l.Name) && l.Name != model.MetricNameLabel {
			return no("The label %.60q of a series cannot be kept.", l.Name)
		}
		switch l.Name {
		case model.MetricNameLabel:
			metric = l.Value
		case "host":
			host = l.Value
			continue
		case "host_id", "vm", "vm_id", "tenant":
			continue
		case "instance":
			instance = l.Value
		}
		b.Add(strings.Clone(l.Name), strings.Clone(l.Value))
	}
	if !model.LegacyValidation.IsValidMetricName(metric) || strings.HasPrefix(metric, "novacron_") || strings.HasPrefix(metric, "ALERTS") {
		return no("The metric %.100q is not a sender's.", metric)
	}
	name := host
	if name == "" {
		name = instance
		if i := strings.LastIndexByte(name, ':'); i > 0 {
			name = strings.Trim(name[:i], "[]")
		}
	}
	h, ok := hostOf(name)
	if !ok {
		return labels.EmptyLabels(), domain.Errorf(domain.Invalid, "A series of %s is of %.100q, and no host is called so.", metric, name).WithFix("Give the sender's series a label host with the host's name here, such as external_labels: {host: b1}.")
	}
	b.Add("host", h.Name)
	b.Add("host_id", h.ID)
	b.Sort()
	l := b.Labels()
	if name, twice := l.HasDuplicateLabelNames(); twice {
		return no("The label %.60q of a series is there twice.", name)
	}
	return l, nil
}

// admit counts series, and refuses a batch with more new ones than there is room for.
func (n *sent) admit(all []labels.Labels, now time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil {
		n.seen = map[uint64]time.Time{}
	}
	if now.Sub(n.swept) > time.Minute {
		n.swept = now
		for h, at := range n.seen {
			if now.Sub(at) > sentFor {
				delete(n.seen, h)
			}
		}
	}
	var fresh []uint64
	for _, l := range all {
		if h := l.Hash(); n.seen[h].IsZero() {
			fresh = append(fresh, h)
		} else {
			n.seen[h] = now
		}
	}
	slices.Sort(fresh)
	fresh = slices.Compact(fresh)
	if len(n.seen)+len(fresh) > SentMost {
		return domain.Errorf(domain.Invalid, "Senders have %d series already, this batch would add %d, and at most %d are kept at a time.", len(n.seen), len(fresh), SentMost).
			WithFix("Leave out labels that never repeat, such as ids and addresses, with write_relabel_configs.")
	}
	for _, h := range fresh {
		n.seen[h] = now
	}
	return nil
}

// Sent tells how many series senders have.
func (s *Store) Sent() int {
	s.sent.mu.Lock()
	defer s.sent.mu.Unlock()
	return len(s.sent.seen)
}

// Pack makes what a receiver of remote write reads. What ended is told as such.
func Pack(all []Batch) ([]byte, error) {
	var req prompb.WriteRequest
	at := map[uint64]int{} // a series is told once, with its samples in the order of time
	for _, b := range all {
		for _, x := range b.Samples {
			i, ok := at[x.Labels.Hash()]
			if !ok || !sameLabels(req.Timeseries[i].Labels, x.Labels) {
				t := prompb.TimeSeries{Labels: make([]prompb.Label, 0, x.Labels.Len())}
				x.Labels.Range(func(l labels.Label) { t.Labels = append(t.Labels, prompb.Label{Name: l.Name, Value: l.Value}) })
				i = len(req.Timeseries)
				at[x.Labels.Hash()] = i
				req.Timeseries = append(req.Timeseries, t)
			}
			t := &req.Timeseries[i]
			t.Samples = append(t.Samples, prompb.Sample{Timestamp: b.At.UnixMilli(), Value: x.Value})
		}
	}
	for i := range req.Timeseries {
		slices.SortStableFunc(req.Timeseries[i].Samples, func(a, b prompb.Sample) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	}
	raw, err := req.Marshal()
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "A batch could not be packed: %w", err)
	}
	return snappy.Encode(nil, raw), nil
}

func sameLabels(a []prompb.Label, b labels.Labels) bool {
	return len(a) == b.Len() && !slices.ContainsFunc(a, func(l prompb.Label) bool { return b.Get(l.Name) != l.Value })
}
