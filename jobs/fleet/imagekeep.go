package fleet

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/images"
)

// ImagePolicy says when copies of images on hosts go by themselves, and with them what was frozen for linked clones. What something is built on never does.
type ImagePolicy struct {
	Collect    bool `json:"collect"`
	UnusedDays int  `json:"unused_days"` // since something was last made of the copy
	Keep       int  `json:"keep"`        // the copies of this many newest published versions of each image stay
}

var defaultImagePolicy = ImagePolicy{Collect: true, UnusedDays: 30, Keep: 1}

const imagePolicyKey = "images.policy"

// ImagePolicy reads the policy.
func (f *Fleet) ImagePolicy(ctx context.Context) (ImagePolicy, error) {
	text, ok, err := f.db.Setting(ctx, imagePolicyKey)
	if err != nil || !ok {
		return defaultImagePolicy, err
	}
	var p ImagePolicy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, domain.Errorf(domain.Internal, "The policy for copies of images cannot be read: %w", err)
	}
	return p, nil
}

// SetImagePolicy writes the policy.
func (f *Fleet) SetImagePolicy(ctx context.Context, actor string, p ImagePolicy) error {
	var bad domain.Problems
	if p.UnusedDays < 1 || p.UnusedDays > 3650 {
		bad.Add("unused_days", "That is not a possible time.", "from 1 to 3650 days")
	}
	if p.Keep < 0 || p.Keep > 100 {
		bad.Add("keep", "That is not a possible number.", "from 0 to 100")
	}
	if err := bad.Err(); err != nil {
		return err
	}
	return f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.SetSetting(imagePolicyKey, mustText(p)); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "image.changed", Resource: domain.Ref{Kind: "images", Name: "image library"}, Actor: actor, Message: "The policy for copies of images was changed."})
	})
}

// KeepImages tidies the library at the start and then collects copies by policy, once an hour, until ctx ends.
func (f *Fleet) KeepImages(ctx context.Context, log *slog.Logger) error {
	if f.shelf == nil {
		return nil
	}
	if err := f.tidyImages(ctx); err != nil && ctx.Err() == nil {
		log.Error("the image library could not be tidied", "error", err)
	}
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if _, err := f.CollectByPolicy(ctx); err != nil && ctx.Err() == nil {
			log.Error("unused copies of images could not be collected", "error", err)
		}
	}
}

func (f *Fleet) tidyImages(ctx context.Context) error {
	sums, err := f.db.ImageFiles(ctx)
	if err != nil {
		return err
	}
	importing, err := f.db.ImagesImporting(ctx)
	if err != nil {
		return err
	}
	ids := make([]string, len(importing))
	for i, v := range importing {
		ids[i] = v.ID
	}
	return f.shelf.Tidy(sums, ids)
}

// CollectByPolicy enqueues the removal of the copies whose time has come, and of the disks that were frozen for linked clones of which none is left; n is how many.
func (f *Fleet) CollectByPolicy(ctx context.Context) (n int, err error) {
	p, err := f.ImagePolicy(ctx)
	if err != nil || !p.Collect {
		return 0, err
	}
	unused, err := f.UnusedImages(ctx)
	if err != nil {
		return 0, err
	}
	before := f.clock().AddDate(0, 0, -p.UnusedDays)
	in := images.Collect{}
	for _, u := range unused {
		if u.Base {
			in.Bases = append(in.Bases, u.ID)
			continue
		}
		if u.LastUsedAt.After(before) {
			continue
		}
		newest, err := f.newest(ctx, u.VersionID, p.Keep)
		if err != nil {
			return 0, err
		}
		if !newest {
			in.Copies = append(in.Copies, u.ID)
		}
	}
	if len(in.Copies)+len(in.Bases) == 0 {
		return 0, nil
	}
	_, err = f.engine.Enqueue(ctx, jobs.Request{Kind: images.KindCollect, Title: "Remove unused copies of images", Resource: domain.Ref{Kind: "images", Name: "image library"},
		Locks: []string{"images:collect"}, Input: in, Actor: "system"})
	if domain.Is(err, domain.Conflict) {
		return 0, nil // one is at work already
	}
	return len(in.Copies) + len(in.Bases), err
}

// newest reports whether a version is among the newest published ones of its image.
func (f *Fleet) newest(ctx context.Context, versionID string, keep int) (bool, error) {
	v, err := f.db.ImageVersion(ctx, versionID)
	if err != nil {
		return false, err
	}
	image, err := f.db.Image(ctx, v.ImageID)
	if err != nil {
		return false, err
	}
	published := slices.DeleteFunc(slices.Clone(image.Versions), func(x domain.ImageVersion) bool { return x.State != domain.ImagePublished })
	slices.SortFunc(published, func(a, b domain.ImageVersion) int { return b.PublishedAt.Compare(a.PublishedAt) })
	return slices.ContainsFunc(published[:min(keep, len(published))], func(x domain.ImageVersion) bool { return x.ID == versionID }), nil
}
