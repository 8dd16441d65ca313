package handlers

import (
	"context"
	"maps"
	"slices"

	"github.com/a-h/templ"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/storage"
)

// pools draws the list of pools anew: there are few, and what one host says of a pool changes what is shown of all.
func (d *drawing) pools(ctx context.Context, a affected) {
	if !d.may(access.PoolRead) || !a.storage {
		return
	}
	d.part(ctx, "pools "+d.v.at.RequestURI(), func(ctx context.Context) (templ.Component, error) {
		m, err := d.s.poolsModel(ctx, d.v.at)
		return storage.StreamPools(d.shell(), m), err
	})
}

// volumes draws the rows that changed, and says when the list is not what it was: rows do not come and go under a pointer.
func (d *drawing) volumes(ctx context.Context, a affected) {
	if !d.may(access.VolumeRead) || !a.storage {
		return
	}
	m, err := d.s.volumesModel(ctx, d.v.at, nil)
	if err != nil {
		d.err = err
		return
	}
	d.volumeRows(ctx, a, m)
}

func (d *drawing) volumeRows(ctx context.Context, a affected, m storage.VolumeList) {
	moved := false
	for _, ev := range a.evs {
		switch ev.Kind {
		case "volume.created", "volume.removed", "pool.removed", "host.removed", "host.changed":
			moved = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.volumes)) {
		i := slices.IndexFunc(m.Items, func(v storage.Volume) bool { return v.ID == id })
		if i >= 0 {
			d.add(ctx, storage.StreamVolumeRow(d.shell(), m, m.Items[i]))
		}
	}
	if moved {
		d.add(ctx, storage.StreamNews(m))
	}
}

// works reports whether a batch concerns the jobs of a pool or a volume: one began, moved or ended.
func (d *drawing) works(ctx context.Context, a affected, id string) bool {
	for _, jobs := range []map[string]bool{a.jobs, keysOf(a.moves)} {
		for job := range jobs {
			if j, err := d.s.jobAsOf(ctx, job, 0); err == nil && j.Resource.ID == id {
				return true
			}
		}
	}
	return false
}

func keysOf(moves map[string]domain.Progress) map[string]bool {
	out := map[string]bool{}
	for id := range moves {
		out[id] = true
	}
	return out
}

func (d *drawing) pool(ctx context.Context, a affected) {
	if !d.may(access.PoolRead) || !a.storage && !d.works(ctx, a, d.v.on) {
		return
	}
	m, err := d.s.poolShow(ctx, d.v.on, d.v.at)
	switch {
	case domain.Is(err, domain.NotFound):
		d.add(ctx, layout.ToastPartial(layout.Toast{Tone: layout.ToneWarning, Text: "This pool is no more.", URL: live.Storage, Link: "All storage pools"}))
	case err != nil:
		d.err = err
	default:
		d.add(ctx, storage.StreamPool(d.shell(), m))
		d.volumeRows(ctx, a, m.Volumes)
	}
}

// volume draws a volume's page. VMs that take or leave it are news of it too.
func (d *drawing) volume(ctx context.Context, a affected) {
	if !d.may(access.VolumeRead) || !a.storage && len(a.vms) == 0 && !d.works(ctx, a, d.v.on) {
		return
	}
	m, err := d.s.volumeShow(ctx, d.v.on)
	switch {
	case domain.Is(err, domain.NotFound):
		d.add(ctx, layout.ToastPartial(layout.Toast{Tone: layout.ToneWarning, Text: "This volume is no more.", URL: live.StorageVolumes, Link: "All volumes"}))
	case err != nil:
		d.err = err
	default:
		d.add(ctx, storage.StreamVolume(d.shell(), m))
	}
}
