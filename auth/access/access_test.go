package access

import "testing"

func TestRolesHoldWhatTheTableSays(t *testing.T) {
	for _, p := range All {
		if !Allowed(Admin, p) {
			t.Errorf("admin lacks %s", p)
		}
		if Allowed("", p) || Allowed("nobody", p) {
			t.Errorf("an unknown role holds %s", p)
		}
		if !Valid(p) {
			t.Errorf("%s is not valid", p)
		}
	}
	if !Allowed("", Public) {
		t.Error("public pages must be open to everybody")
	}
	for _, p := range []Permission{HostAdd, HostEdit, HostRemove, VMCreate, VMPower, VMEdit, VMDelete, VMConsole, PoolManage, VolumeManage, VolumeContent, PoolManage, VolumeManage, VolumeContent, NetworkManage, SecGroupManage, JobCancel, TokenManage} {
		if Allowed(Viewer, p) {
			t.Errorf("viewer may %s, but a viewer only looks", p)
		}
	}
	for _, p := range []Permission{AccountSelf, HostRead, VMRead, PoolRead, VolumeRead, JobRead, EventRead, NetworkRead, PoolRead, VolumeRead} {
		if !Allowed(Viewer, p) {
			t.Errorf("viewer lacks %s", p)
		}
	}
	if Valid("vm.fly") || Known("wizard") || !Known(Viewer) {
		t.Error("names outside the table must be refused")
	}
}
