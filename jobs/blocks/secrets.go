package blocks

import (
	"context"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/reconcile"
)

// Ensure gives a host the passphrase behind a secret, as often as it is needed: libvirt forgets it whenever its daemon ends. A secret that is not ours is
// left to whoever made it.
func Ensure(ctx context.Context, d *db.DB, host hv.Host, uuid string) error {
	s, value, err := d.Secret(ctx, uuid)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return host.SetSecret(ctx, uuid, "NovaCron: volume "+s.Name, value)
}

// EnsureFor gives a host what the disks of one of its VMs need before it starts.
func EnsureFor(ctx context.Context, d *db.DB, host hv.Host, disks []domain.Disk) error {
	for _, x := range disks {
		if x.Secret == "" {
			continue
		}
		if err := Ensure(ctx, d, host, x.Secret); err != nil {
			return err
		}
	}
	return nil
}

// Drop deletes volumes that a VM has been told to let go of. One that the VM still holds, or that somebody else needs, stays, and the log says so.
func Drop(ctx context.Context, r *jobs.Run, d *db.DB, hosts hv.Fleet, mirror *reconcile.Mirror, hostID, uuid string, volumes []Volume) error {
	deps := Deps{DB: d, Hosts: hosts, Mirror: mirror}
	if err := deps.mirror(ctx, r, hostID, Disk{UUID: uuid}); err != nil {
		return err
	}
	host, err := hosts.Host(hostID)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		why, err := deps.dropVolume(ctx, host, v)
		if err != nil {
			return err
		}
		if why != "" {
			r.Log("%s stays: %s", v.Path, why)
			continue
		}
		r.Log("Deleted %s.", v.Path)
	}
	return mirror.Inventory(ctx, host, hostID, cause(r, ""))
}
