package db

import (
	"context"

	"novacron/domain"
)

func getSetting(ctx context.Context, q getter, name string) (value string, ok bool, err error) {
	err = edge(q.GetContext(ctx, &value, "SELECT value FROM settings WHERE name = ?", name), "setting")
	if domain.Is(err, domain.NotFound) {
		return "", false, nil
	}
	return value, err == nil, err
}

// Setting reads one of the few facts that belong to the installation itself, such as whether it was started before; ok is false when it was never set.
func (d *DB) Setting(ctx context.Context, name string) (value string, ok bool, err error) {
	return getSetting(ctx, d.read, name)
}

// Setting reads a setting.
func (tx *Tx) Setting(name string) (value string, ok bool, err error) {
	return getSetting(tx.ctx, tx.read(), name)
}

// SetSetting writes a setting.
func (tx *Tx) SetSetting(name, value string) error {
	return tx.one("setting", "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}

// DeleteSetting forgets a setting; none there is fine.
func (tx *Tx) DeleteSetting(name string) error {
	_, err := tx.exec("DELETE FROM settings WHERE name = ?", name)
	return edge(err, "setting")
}
