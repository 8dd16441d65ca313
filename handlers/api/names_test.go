package api

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// What was promised of storage, images, networks and snapshots is there under the names that were promised. The description is a golden file, so it is what the
// server says of itself.
func TestPromisedNames(t *testing.T) {
	type schema struct {
		Ref        string            `json:"$ref"`
		Properties map[string]schema `json:"properties"`
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Body struct {
				Content map[string]struct {
					Schema schema `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	raw, err := os.ReadFile("testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for op, fields := range map[string]string{
		"post /pools": "name host type target source", "post /pools/{id}/refresh": "", "get /pools": "",
		"post /volumes": "pool name size_bytes format source", "patch /volumes/{id}": "size_bytes", "put /volumes/{id}/content": "", "get /volumes/{id}/content": "", "post /volumes/{id}/move": "pool",
		"get /images": "", "post /images": "name", "get /images/{id}/versions": "", "post /images/{id}/versions": "source", "get /templates": "", "post /templates": "name spec parameters cloud_init",
		"get /networks": "", "post /networks": "name", "get /security-groups": "", "post /security-groups": "name rules",
		"post /vms/{id}/disks": "volume bus", "post /vms/{id}/nics": "network model mac", "post /vms/{id}/snapshots": "name memory quiesce", "post /vms/{id}/snapshots/{sid}/revert": "",
		"post /vms/{id}/clone": "name linked", "post /vms/{id}/guest/exec": "argv timeout_s", "post /vms/{id}/template": "name",
	} {
		method, path, _ := strings.Cut(op, " ")
		o, ok := doc.Paths[path][method]
		if !ok {
			o, ok = doc.Paths["/api/v1"+path][method]
		}
		if !ok {
			t.Errorf("there is no %s", op)
			continue
		}
		body := o.Body.Content["application/json"].Schema
		if name := body.Ref[strings.LastIndex(body.Ref, "/")+1:]; name != "" {
			body = doc.Components.Schemas[name]
		}
		for _, f := range strings.Fields(fields) {
			if _, ok := body.Properties[f]; !ok {
				t.Errorf("%s takes no %s", op, f)
			}
		}
	}
}
