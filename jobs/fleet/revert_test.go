package fleet

import (
	"encoding/json"
	"testing"

	"novacron/domain"
)

func TestRevertOneField(t *testing.T) {
	live := domain.VMSpec{VCPUs: 2, MaxVCPUs: 2, MemoryBytes: domain.GiB, CPU: "host-model", Machine: "q35", Firmware: "bios", Title: "a", Description: "b", Topology: &domain.Topology{Sockets: 2, Cores: 1, Threads: 1},
		Boot:  domain.Boot{Kernel: "/k", Order: []string{"hd"}},
		Disks: []domain.Disk{{Target: "vda", Source: "/a"}, {Target: "sda", Device: "cdrom", Source: "/iso"}, {Target: "vdb", Source: "/b", SizeBytes: 1}},
		NICs:  []domain.NIC{{MAC: "52:54:00:00:00:01", Network: "n", Target: "tap0"}, {MAC: "52:54:00:00:00:02", Network: "n"}}}
	config := domain.VMSpec{VCPUs: 4, MaxVCPUs: 8, Disks: []domain.Disk{{Target: "vda", Source: "/other"}, {Target: "sda", Device: "cdrom"}, {Target: "vdc", Source: "/c"}},
		NICs: []domain.NIC{{MAC: "52:54:00:00:00:02", Network: "m"}, {MAC: "52:54:00:00:00:03", Network: "n"}}}
	for field, want := range map[string]string{
		"vcpus":                  `{"vcpus":2}`,
		"max_vcpus":              `{"vcpus":2,"max_vcpus":2}`,
		"topology":               `{"vcpus":2,"max_vcpus":2,"topology":{"sockets":2,"cores":1,"threads":1}}`,
		"cpu":                    `{"cpu":"host-model"}`,
		"memory_bytes":           `{"memory_bytes":1073741824}`,
		"max_memory_bytes":       `{"memory_bytes":1073741824}`,
		"machine":                `{"machine":"q35"}`,
		"firmware":               `{"firmware":"bios"}`,
		"title":                  `{"title":"a"}`,
		"description":            `{"description":"b"}`,
		"boot.kernel":            `{"boot":{"kernel":"/k"}}`,
		"boot.order":             `{"boot":{"order":["hd"]}}`,
		"disks.vdb":              `{"add_disks":[{"target":"vdb","source":"/b"}]}`,
		"disks.vdc":              `{"remove_disks":["vdc"]}`,
		"disks.sda":              `{"media":{"target":"sda","source":"/iso"}}`,
		"nics.52:54:00:00:00:01": `{"add_nics":[{"network":"n","mac":"52:54:00:00:00:01"}]}`,
		"nics.52:54:00:00:00:03": `{"remove_nics":["52:54:00:00:00:03"]}`,
	} {
		c, err := revert(field, live, config)
		got, jerr := json.Marshal(c)
		if err != nil || jerr != nil || string(got) != want {
			t.Errorf("%s: %s (%v), want %s", field, got, err, want)
		}
	}
	for _, field := range []string{"accel", "disks.vda", "nics.52:54:00:00:00:02"} {
		if _, err := revert(field, live, config); !domain.Is(err, domain.Unsupported) {
			t.Errorf("%s: %v", field, err)
		}
	}
	live.Topology = nil
	if _, err := revert("topology", live, config); !domain.Is(err, domain.Unsupported) {
		t.Errorf("topology: %v", err)
	}
}
