package e2e

import (
	"fmt"
	"testing"
	"time"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// TestAFilteredListFollows: rows that do not match any more go by themselves, but none moves while the pointer is over the list; what has come to
// match appears.
func TestAFilteredListFollows(t *testing.T) {
	s := server.Start(t)
	api := s.API()
	api.AddHost(t, "cheap", hosts.TestHosts[0].URI)
	vms, err := api.VMs()
	if err != nil || len(vms) < 3 {
		t.Fatalf("%d VMs, %v", len(vms), err)
	}
	for _, vm := range vms {
		api.WaitVM(t, vm.ID, "running", 20*time.Second)
	}
	act := func(i int, action string) {
		api.Change(t, "POST", "/api/v1/vms/"+vms[i].ID+"/"+action, nil, "succeeded")
	}
	t.Cleanup(func() {
		for i := range vms {
			if vm, err := api.VM(vms[i].ID); err == nil && vm.State == "paused" {
				act(i, "resume")
			}
		}
	})
	row := func(i int) string { return fmt.Sprintf(`document.querySelector("#row-%s")`, vms[i].ID) }
	count := func(n int) string {
		return fmt.Sprintf(`document.querySelector("#list-count").innerText === "%d of %d"`, n, len(vms))
	}
	p := browser.Open(t, s.URL, 1440, 900)
	p.SignIn(s.Admin, s.Password, "correct horse battery")
	p.Go("/vms?filter=state:running")
	p.Until("the list", count(len(vms)))
	act(0, "pause")
	p.Until("the paused VM to be counted out", count(len(vms)-1))
	p.Until("its row to go", "!"+row(0))

	p.Hover("#row-" + vms[1].ID)
	act(2, "pause")
	p.Until("the row to be marked", row(2)+`?.classList.contains("left")`)
	p.Picture("filter-left")
	act(0, "resume")
	p.Until("the list to say that one has come", `document.querySelector("#list-news").innerText.includes("come to match")`)
	if browser.Eval[bool](p, "Boolean("+row(0)+") || !"+row(2)) {
		t.Error("rows moved under the pointer")
	}
	p.Hover("h1, .brand")
	p.Until("the row to go when the pointer has left", "!"+row(2))
	p.Until("the one that has come to be there", row(0))
}
