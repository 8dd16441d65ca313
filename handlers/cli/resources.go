package cli

import "encoding/json"

// resource is a kind of thing, with what can be done to it. What a command takes follows from the API's operations that are named here.
type resource struct {
	name, plural string
	aliases      []string
	group        string
	short        string
	prefixes     []string // what its ids begin with
	by           string   // the field that people call it by; empty: only its id
	in           string   // the resource that it is part of: its name comes first on the command line

	list, get, create, edit, del string // operations; empty: there is none
	columns                      []column
	verbs                        []verb
	example                      string
}

// verb is something else that can be done to one of them.
type verb struct {
	use, op string
	on      string   // the resource that is named; empty: this one
	args    []string // what follows the names: fields of the body, or what is left of the path
	short   string   // empty: the operation's summary
	none    bool     // it is about no single one
	example string
}

func col(head, path string) column { return column{head: head, path: path} }
func wide(c column) column         { c.wide = true; return c }
func as(head, path string, show func(json.RawMessage) string) column {
	return column{head: head, path: path, show: show}
}

// when is a column of times, shown by how long ago they were.
func when(head, path string) column { return column{head: head, path: path, time: true} }

var resources = []resource{
	{
		name: "vm", plural: "vms", aliases: []string{"vms"}, group: groupEstate, short: "Virtual machines", prefixes: []string{"vm_"}, by: "name",
		list: "list-vms", get: "get-vm", create: "create-vm", edit: "edit-vm", del: "delete-vm",
		columns: []column{
			col("NAME", "name"), col("STATE", "state"), col("HOST", "host"), col("VCPUS", "vcpus"), as("MEMORY", "memory_bytes", size), as("ADDRESSES", "addresses", addresses), col("TAGS", "tags"), when("AGE", "created_at"),
			wide(col("ID", "id")), wide(col("UUID", "uuid")), wide(col("TENANT", "tenant")), wide(col("TASK", "busy.title")), wide(col("REASON", "reason")),
		},
		verbs: []verb{
			{use: "start", op: "start-vm"}, {use: "shutdown", op: "shutdown-vm"}, {use: "stop", op: "stop-vm"}, {use: "reboot", op: "reboot-vm"}, {use: "reset", op: "reset-vm"},
			{use: "pause", op: "pause-vm"}, {use: "resume", op: "resume-vm"}, {use: "save", op: "save-vm"}, {use: "restore", op: "restore-vm"}, {use: "discard", op: "discard-vm"},
			{use: "clone", op: "clone-vm", args: []string{"name"}, example: "  novacron vm clone web-1 web-2 --linked"},
			{use: "rename", op: "rename-vm", args: []string{"name"}},
			{use: "exec", op: "exec-in-guest", args: []string{"argv..."}, example: "  novacron vm exec web-1 -- uname -a"},
			{use: "disks", op: "list-vm-disks"}, {use: "nics", op: "list-nics"},
			{use: "attach-disk", op: "attach-disk"}, {use: "detach-disk", op: "detach-disk", args: []string{"target"}},
			{use: "attach-nic", op: "attach-nic"}, {use: "detach-nic", op: "detach-nic", args: []string{"mac"}},
			{use: "media", op: "change-media", args: []string{"target"}},
			{use: "guest", op: "get-guest"}, {use: "processes", op: "list-guest-processes"}, {use: "look", op: "look-at-guest-processes"}, {use: "delete-plan", op: "plan-delete-vm"},
		},
		example: "  novacron vm list --filter 'host:b2 state:running' -o wide\n  novacron vm create --name web-1 --vcpus 2 --memory 2G --disks pool=default,size=10G --nics network=default --start\n  novacron vm create -f web-1.yaml\n  novacron vm start web-1 web-2",
	},
	{
		name: "host", plural: "hosts", aliases: []string{"hosts"}, group: groupEstate, short: "Hosts that run them", prefixes: []string{"host_"}, by: "name",
		list: "list-hosts", get: "get-host", create: "add-host", edit: "edit-host", del: "remove-host",
		columns: []column{
			col("NAME", "name"), col("STATE", "state"), col("MAINTENANCE", "maintenance"), col("CPUS", "facts.cpus"), as("MEMORY", "facts.memory_bytes", size), as("DISK FREE", "facts.storage_free_bytes", size), when("SEEN", "last_seen"),
			wide(col("ID", "id")), wide(col("URI", "uri")), wide(col("CPU", "facts.cpu_model")), wide(col("LIBVIRT", "facts.libvirt_version")), wide(col("LABELS", "labels")), wide(col("REASON", "reason")),
		},
		verbs: []verb{
			{use: "evacuate", op: "evacuate-host"}, {use: "return", op: "return-to-host"}, {use: "reconnect", op: "reconnect-host"},
			{use: "devices", op: "list-devices"}, {use: "try", op: "try-host", none: true},
		},
		example: "  novacron host create --name b2 --uri qemu+tls://b2/system\n  novacron host maintenance b2 on\n  novacron host evacuate b2 --dry-run",
	},
	{
		name: "pool", plural: "pools", aliases: []string{"pools"}, group: groupEstate, short: "Storage pools", prefixes: []string{"pool_"}, by: "name",
		list: "list-storage-pools", get: "get-pool", create: "create-pool", edit: "edit-pool", del: "delete-pool",
		columns: []column{
			col("NAME", "name"), col("TYPE", "type"), col("ACTIVE", "active"), as("HOSTS", "hosts", hostsOf), as("SIZE", "capacity_bytes", size), as("FREE", "available_bytes", size), col("VOLUMES", "volumes"),
			wide(col("ID", "id")), wide(col("TARGET", "target")), wide(col("SHARED", "shared")),
		},
		verbs: []verb{{use: "start", op: "start-pool"}, {use: "stop", op: "stop-pool"}, {use: "refresh", op: "refresh-pool"}},
	},
	{
		name: "volume", plural: "volumes", aliases: []string{"volumes", "vol"}, group: groupEstate, short: "Disks in the pools", prefixes: []string{"vol_"}, by: "name",
		list: "list-storage-volumes", get: "get-volume", create: "create-volume", edit: "resize-volume", del: "delete-volume",
		columns: []column{
			col("NAME", "name"), col("POOL", "pool"), col("HOST", "host"), as("SIZE", "capacity_bytes", size), as("USED", "allocation_bytes", size), col("FORMAT", "format"), col("USED BY", "used_by"),
			wide(col("ID", "id")), wide(col("PATH", "path")), wide(col("BACKING", "backing")), wide(col("ORPHAN", "orphan")),
		},
		verbs: []verb{{use: "move", op: "move-volume"}, {use: "checksum", op: "compute-volume-checksum"}},
	},
	{
		name: "image", plural: "images", aliases: []string{"images"}, group: groupEstate, short: "Images that VMs are made from", prefixes: []string{"img_"}, by: "name",
		list: "list-images", get: "get-image", create: "create-image", edit: "edit-image", del: "delete-image",
		columns: []column{col("NAME", "name"), col("ARCH", "arch"), as("VERSIONS", "versions", count), when("AGE", "created_at"), col("DESCRIPTION", "description"), wide(col("ID", "id")), wide(col("TENANT", "tenant"))},
		verbs: []verb{
			{use: "versions", op: "list-image-versions"}, {use: "publish", op: "publish-image-version", args: []string{"v"}}, {use: "deprecate", op: "deprecate-image-version", args: []string{"v"}},
			{use: "place", op: "place-image-version", args: []string{"v"}},
		},
	},
	{
		name: "network", plural: "networks", aliases: []string{"networks", "net"}, group: groupEstate, short: "Networks", prefixes: []string{"net_"}, by: "name",
		list: "list-all-networks", get: "get-network", create: "create-network", edit: "edit-network", del: "delete-network",
		columns: []column{
			col("NAME", "name"), col("HOST", "host"), col("ACTIVE", "active"), col("MODE", "mode"), col("BRIDGE", "bridge"), col("ADDRESSES", "cidr"), as("VMS", "vms", count),
			wide(col("ID", "id")), wide(col("AUTOSTART", "autostart")), wide(as("DRIFT", "drift", count)),
		},
		verbs: []verb{{use: "start", op: "start-network"}, {use: "stop", op: "stop-network"}, {use: "leases", op: "list-leases"}, {use: "equal", op: "equal-network"}},
	},
	{
		name: "snapshot", plural: "snapshots", aliases: []string{"snapshots", "snap"}, group: groupEstate, short: "Snapshots of a VM", prefixes: []string{"snap_"}, by: "name", in: "vm",
		list: "list-snapshots", get: "get-snapshot", create: "create-snapshot", edit: "edit-snapshot", del: "delete-snapshot",
		columns: []column{col("NAME", "name"), col("KIND", "kind"), col("STATE", "state"), col("MEMORY", "memory"), col("CURRENT", "current"), col("PARENT", "parent"), as("GROWN", "growth_bytes", size), when("AGE", "created_at"), wide(col("ID", "id")), wide(col("MADE BY", "made_by")), wide(col("NOTES", "notes"))},
		verbs:   []verb{{use: "revert", op: "revert-to-snapshot"}, {use: "clone", op: "clone-snapshot", args: []string{"name"}}},
		example: "  novacron snapshot create web-1 --name before-upgrade\n  novacron snapshot revert web-1 before-upgrade",
	},
	{
		name: "template", plural: "templates", aliases: []string{"templates"}, group: groupEstate, short: "Templates of VMs", prefixes: []string{"tmpl_"}, by: "name",
		list: "list-templates", get: "get-template", create: "create-template", edit: "edit-template", del: "delete-template",
		columns: []column{col("NAME", "name"), col("VERSION", "version"), col("VMS", "vms"), when("AGE", "created_at"), col("DESCRIPTION", "description"), wide(col("ID", "id")), wide(col("TENANT", "tenant"))},
		verbs: []verb{
			{use: "instantiate", op: "instantiate-template", args: []string{"name"}, example: "  novacron template instantiate small web-3 --start"}, {use: "versions", op: "list-template-versions"},
			{use: "diff", op: "diff-template"}, {use: "rollout", op: "rollout-template"},
		},
	},
	{
		name: "job", plural: "jobs", aliases: []string{"jobs", "task"}, group: groupEstate, short: "Tasks: every change that was asked for", prefixes: []string{"job_"},
		list: "list-jobs", get: "get-job",
		columns: []column{col("ID", "id"), col("TITLE", "title"), col("STATE", "state"), as("DONE", "progress", percent), when("AGE", "created_at"), wide(col("KIND", "kind")), wide(col("RESOURCE", "resource.id")), wide(col("BY", "actor")), wide(col("ERROR", "error.message"))},
		verbs:   []verb{{use: "cancel", op: "cancel-job"}, {use: "retry", op: "retry-job"}, {use: "dismiss", op: "dismiss-job"}, {use: "choose", op: "choose-job", args: []string{"choice"}}},
		example: "  novacron job list --state stuck\n  novacron job cancel job_01k…",
	},
	{
		name: "alert", plural: "alerts", aliases: []string{"alerts"}, group: groupEstate, short: "Alerts", prefixes: []string{"alert_"},
		list: "list-alerts", get: "get-alert",
		columns: []column{col("ID", "id"), col("TITLE", "title"), col("SEVERITY", "severity"), col("STATE", "state"), when("FIRED", "fired_at"), wide(col("RULE", "name")), wide(col("SUMMARY", "summary")), wide(col("BY", "acked_by"))},
		verbs:   []verb{{use: "acknowledge", op: "acknowledge-alert"}, {use: "comment", op: "comment-alert", args: []string{"comment"}}},
	},
	{
		name: "silence", plural: "silences", aliases: []string{"silences"}, group: groupEstate, short: "What alerts are not told", prefixes: []string{"sil_"},
		list: "list-silences", get: "get-silence", create: "create-silence", del: "delete-silence",
		columns: []column{col("ID", "id"), col("STATE", "state"), col("COMMENT", "comment"), when("ENDS", "ends_at"), col("BY", "created_by")},
	},
	{
		name: "migrate", plural: "migrations", aliases: []string{"migration"}, group: groupEstate, short: "Moves of VMs from host to host", prefixes: []string{"job_"},
		list:    "list-migrations",
		columns: []column{col("VM", "vm"), col("FROM", "from"), col("TO", "to"), col("MODE", "mode"), col("STATE", "state"), when("BEGAN", "started_at"), wide(col("ID", "id")), wide(col("DOWNTIME MS", "result.downtime_ms"))},
		verbs: []verb{
			{use: "forecast", op: "forecast-vm", on: "vm", example: "  novacron migrate forecast web-1"},
			{use: "start", op: "migrate-vm", on: "vm", example: "  novacron migrate start web-1 --host b2"},
			{use: "tune", op: "tune-migration"}, {use: "paths", op: "list-migration-paths", none: true},
		},
	},
	{
		name: "folder", plural: "folders", aliases: []string{"folders"}, group: groupEstate, short: "Folders of VMs", prefixes: []string{"fold_"}, by: "path",
		list: "list-folders", get: "get-folder", create: "create-folder", edit: "edit-folder", del: "delete-folder",
		columns: []column{col("PATH", "path"), col("VMS", "vms"), col("TENANT", "tenant"), wide(col("ID", "id"))},
	},
	{
		name: "user", plural: "users", aliases: []string{"users"}, group: groupAccess, short: "People", prefixes: []string{"user_"}, by: "name",
		list: "list-users", get: "get-user", create: "create-user", edit: "edit-user", del: "delete-user",
		columns: []column{col("NAME", "name"), col("FULL NAME", "full_name"), col("MAIL", "email"), col("GROUPS", "groups"), col("DISABLED", "disabled"), when("SIGNED IN", "last_sign_in"), wide(col("ID", "id")), wide(col("FACTORS", "mfa"))},
		verbs:   []verb{{use: "invite", op: "invite-user"}, {use: "reset", op: "reset-user"}},
	},
	{
		name: "group", plural: "groups", aliases: []string{"groups"}, group: groupAccess, short: "Groups of people", prefixes: []string{"group_"}, by: "name",
		list: "list-groups", get: "get-group", create: "create-group", edit: "edit-group", del: "delete-group",
		columns: []column{col("NAME", "name"), as("MEMBERS", "members", count), col("NOTES", "notes"), wide(col("ID", "id"))},
	},
	{
		name: "role", plural: "roles", aliases: []string{"roles"}, group: groupAccess, short: "Roles: what one may do", prefixes: []string{"role_"}, by: "name",
		list: "list-roles", get: "get-role", create: "create-role", edit: "edit-role", del: "delete-role",
		columns: []column{col("NAME", "name"), col("ID", "id"), as("PERMISSIONS", "permissions", count), col("BUILT IN", "built_in"), col("NOTES", "notes")},
	},
	{
		name: "tenant", plural: "tenants", aliases: []string{"tenants"}, group: groupAccess, short: "Tenants", prefixes: []string{"ten_"}, by: "name",
		list: "list-tenants", get: "get-tenant", create: "create-tenant", edit: "edit-tenant", del: "delete-tenant",
		columns: []column{col("NAME", "name"), col("PARENT", "parent"), col("VMS", "usage.vms"), as("HOSTS", "hosts", count), as("POOLS", "pools", count), wide(col("ID", "id")), wide(col("NOTES", "notes"))},
		verbs:   []verb{{use: "give", op: "give-to-tenant"}, {use: "take", op: "take-from-tenant"}},
	},
	{
		name: "token", plural: "tokens", aliases: []string{"tokens"}, group: groupAccess, short: "API tokens", prefixes: []string{"tok_"}, by: "name",
		list: "list-tokens", create: "create-token", del: "revoke-token",
		columns: []column{col("ID", "id"), col("NAME", "name"), col("BEGINS", "prefix"), col("ROLE", "role"), col("TENANT", "tenant"), col("MADE BY", "created_by"), when("AGE", "created_at"), when("USED", "last_used"), when("EXPIRES", "expires_at")},
	},
}

func resourceNamed(name string) *resource {
	for i := range resources {
		if resources[i].name == name {
			return &resources[i]
		}
	}
	return nil
}

// addresses shows a VM's addresses without what says how they are known.
func addresses(raw json.RawMessage) string { return each(raw, "ip") }

func hostsOf(raw json.RawMessage) string { return each(raw, "host") }

// each shows one field of every element.
func each(raw json.RawMessage, field string) string {
	var all []json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return plain(raw)
	}
	out := ""
	for _, e := range all {
		o, err := objectOf(e)
		if err != nil {
			return plain(raw)
		}
		if text := o.text(field); text != "" {
			if out != "" {
				out += ","
			}
			out += text
		}
	}
	return out
}
