package alerts

import (
	"fmt"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/alerting"
)

// escalate notes which steps alerts have reached, and tells which receivers are told of which alerts by that, and why.
func escalate(tx *db.Tx, stand []domain.Alert, receivers []domain.Receiver, now time.Time) (map[string]map[string]string, error) {
	d := alerting.Desk{Rotas: map[string]*domain.Rota{}, Receivers: map[string]*domain.Receiver{}}
	var err error
	if d.Escalations, err = tx.Escalations(); err != nil {
		return nil, err
	}
	done, err := tx.EscalatedLive()
	if err != nil || len(d.Escalations) == 0 && len(done) == 0 {
		return nil, err
	}
	rotas, err := tx.Rotas()
	if err != nil {
		return nil, err
	}
	for i := range rotas {
		d.Rotas[rotas[i].ID] = &rotas[i]
	}
	for i := range receivers {
		d.Receivers[receivers[i].ID] = &receivers[i]
	}
	byID := map[string]*domain.Alert{}
	for i := range stand {
		byID[stand[i].ID] = &stand[i]
	}
	fresh := alerting.Escalate(d, stand, done, now)
	for _, x := range fresh {
		if err := tx.PutEscalated(x); err != nil {
			return nil, err
		}
		who := "Nobody"
		if r := d.Receivers[x.ReceiverID]; r != nil {
			who = r.Name
		}
		if err := tell(tx, byID[x.AlertID], "escalated", fmt.Sprintf("%s is told of %s: %s.", who, byID[x.AlertID].Title(), x.Why)); err != nil {
			return nil, err
		}
	}
	via := map[string]map[string]string{}
	for _, x := range append(done, fresh...) {
		if x.ReceiverID == "" {
			continue
		}
		if via[x.ReceiverID] == nil {
			via[x.ReceiverID] = map[string]string{}
		}
		via[x.ReceiverID][x.AlertID] = x.Why
	}
	return via, nil
}
