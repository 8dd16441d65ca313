package guest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/cloudinit"
	"novacron/domain/unattend"
	"novacron/hv"
	"novacron/jobs"
)

// KindSeed makes the medium of a VM's first boot anew.
const KindSeed = "guest.seed"

// SeedImage makes the CD image that a VM's first boot reads; next is what an edit has prepared.
func SeedImage(ctx context.Context, d *db.DB, vmID string, next bool) ([]byte, error) {
	s, err := d.OpenSeed(ctx, vmID, next)
	if err != nil {
		return nil, err
	}
	vm, err := d.VM(ctx, vmID)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Content.CloudInit != nil:
		files := cloudinit.Render(*s.Content.CloudInit, vm.Name, s.InstanceID)
		on := map[string]string{"user-data": files.UserData, "meta-data": files.MetaData}
		if files.NetworkConfig != "" {
			on["network-config"] = files.NetworkConfig
		}
		if files.VendorData != "" {
			on["vendor-data"] = files.VendorData
		}
		return ISO("cidata", on)
	case s.Content.Windows != nil:
		uefi := vm.Config.Firmware == domain.FirmwareUEFI || vm.Config.Firmware == domain.FirmwareUEFISecure
		return ISO("OEMDRV", map[string]string{"autounattend.xml": unattend.Render(*s.Content.Windows, vm.Name, uefi)})
	}
	return nil, domain.Errorf(domain.Internal, "The seed of %s is made from nothing.", vm.Name)
}

// PutSeed writes an image into a seed's volume. One that is there and large enough is written over, since a guest that runs has it in its drive; what is left of it
// is wiped.
func PutSeed(ctx context.Context, host hv.Host, pool, volume string, image []byte) (domain.Volume, error) {
	v, err := host.Volume(ctx, pool, volume)
	if err == nil && v.CapacityBytes < int64(len(image)) {
		if err := host.DeleteVolume(ctx, pool, volume); err != nil {
			return v, err
		}
		err = domain.Errorf(domain.NotFound, "It was too small.")
	}
	if domain.Is(err, domain.NotFound) {
		v, err = host.CreateVolume(ctx, hv.VolumeSpec{Pool: pool, Name: volume, Format: "raw", SizeBytes: int64(len(image))})
	}
	if err != nil {
		return v, err
	}
	if more := v.CapacityBytes - int64(len(image)); more > 0 && more < 64<<20 {
		image = append(image[:len(image):len(image)], make([]byte, more)...)
	}
	return v, host.WriteVolume(ctx, pool, volume, 0, int64(len(image)), bytes.NewReader(image))
}

// Seed is the input of guest.seed. What the medium is made from lies sealed in the seed's row.
type Seed struct {
	On
	Pool   string `json:"pool"`
	Volume string `json:"volume"`
}

func (d Deps) seedSteps(in Seed) []jobs.Step {
	put := func(ctx context.Context, next bool) error {
		host, err := d.Hosts.Host(in.HostID)
		if err != nil {
			return err
		}
		image, err := SeedImage(ctx, d.DB, in.VMID, next)
		if err != nil {
			return err
		}
		_, err = PutSeed(ctx, host, in.Pool, in.Volume, image)
		return err
	}
	return []jobs.Step{{
		Name: "write what the first boot reads", Timeout: 5 * time.Minute,
		Do: func(ctx context.Context, r *jobs.Run) error { return put(ctx, true) },
		Undo: func(ctx context.Context, r *jobs.Run) error {
			if err := d.DB.Write(ctx, func(tx *db.Tx) error { return tx.SettleSeed(in.VMID, false) }); err != nil {
				return err
			}
			err := put(ctx, false)
			if domain.Is(err, domain.NotFound) {
				r.Log("What was there before could not be written back: %s", err)
				return nil
			}
			return err
		},
	}, {
		Name: "keep it", Timeout: time.Minute, Final: true, NoUndo: "It is what the medium says by now.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			job := r.Job()
			return d.DB.Write(ctx, func(tx *db.Tx) error {
				if err := tx.SettleSeed(in.VMID, true); err != nil {
					return err
				}
				return tx.Emit(domain.Event{Kind: "guest.changed", Resource: domain.Ref{Kind: "vm", ID: in.VMID, Name: in.Name}, HostID: in.HostID, JobID: job.ID, Actor: job.Actor,
					Message: fmt.Sprintf("What the first boot of %s reads was written anew.", in.Name)})
			})
		},
	}}
}

func abandonSeed(tx *db.Tx, job domain.Job) error { return tx.SettleSeed(job.Resource.ID, false) }
