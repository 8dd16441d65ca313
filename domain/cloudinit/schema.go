package cloudinit

// kind is a set of YAML types.
type kind int

const (
	str kind = 1 << iota
	boolean
	integer
	float
	list
	mapping
	null
)

const anything = str | boolean | integer | float | list | mapping | null

// rule says what may stand at a place.
type rule struct {
	kinds kind
	items *rule           // of a list
	keys  map[string]rule // of a mapping; a key that is not here is unknown, unless others says what it may be
	other *rule
	hint  string
	note  string // instead of "unknown key": for keys that moved or are often mistaken
}

var (
	any_     = rule{kinds: anything}
	word     = rule{kinds: str}
	wordly   = rule{kinds: str | integer} // a name that YAML may take for a number
	flag     = rule{kinds: boolean}
	number   = rule{kinds: integer}
	words    = rule{kinds: list, items: &word}
	wordOrs  = rule{kinds: str | list, items: &word}
	openMap  = rule{kinds: mapping, other: &any_}
	command  = rule{kinds: str | list | null, items: &rule{kinds: str | integer | boolean | float | null}}
	commands = rule{kinds: list, items: &command}
	octal    = rule{kinds: str, hint: "in quotes, such as '0644': without them YAML makes a number of it"}
)

func fields(keys map[string]rule) rule { return rule{kinds: mapping, keys: keys} }

func listOf(item rule) rule { return rule{kinds: list, items: &item} }

func or(r rule, k kind) rule { r.kinds |= k; return r }

var userItem = or(fields(map[string]rule{
	"name": wordly, "doas": words, "expiredate": word, "gecos": word, "groups": {kinds: str | list | mapping, items: &wordly, other: &any_}, "homedir": word, "inactive": wordly, "lock_passwd": flag, "lock-passwd": flag,
	"no_create_home": flag, "no_log_init": flag, "no_user_group": flag, "passwd": word, "hashed_passwd": word, "plain_text_passwd": wordly, "create_groups": flag, "primary_group": wordly,
	"selinux_user": word, "shell": word, "snapuser": word, "ssh_redirect_user": flag, "ssh_authorized_keys": words, "ssh-authorized-keys": words, "ssh_import_id": words,
	"sudo": {kinds: str | list | boolean | null, items: &word}, "system": flag, "uid": wordly,
}), str)

// topKeys are the keys of #cloud-config, each with its type, as the documentation of cloud-init's modules names them (releases 22 to 25).
var topKeys = map[string]rule{
	"allow_public_ssh_keys": flag, "ansible": openMap, "apk_repos": openMap, "apt": openMap, "apt_pipelining": {kinds: str | boolean | integer}, "apt_update": flag, "apt_upgrade": flag, "apt_reboot_if_required": flag,
	"authkey_hash": word, "autoinstall": openMap, "bootcmd": commands, "byobu_by_default": word, "ca_certs": openMap, "ca-certs": openMap, "chef": openMap,
	"chpasswd":             fields(map[string]rule{"expire": flag, "list": {kinds: str | list, items: &word}, "users": listOf(fields(map[string]rule{"name": wordly, "password": wordly, "type": word}))}),
	"cloud_config_modules": listOf(any_), "cloud_final_modules": listOf(any_), "cloud_init_modules": listOf(any_), "create_hostname_file": flag, "datasource": openMap, "datasource_list": words,
	"debug": openMap, "device_aliases": openMap, "disable_ec2_metadata": flag, "disable_root": flag, "disable_root_opts": word, "disk_setup": openMap, "drivers": openMap, "fan": openMap,
	"final_message": word, "fqdn": word, "fs_setup": listOf(openMap), "groups": {kinds: str | list | mapping, items: &any_, other: &any_},
	"growpart":  fields(map[string]rule{"mode": {kinds: str | boolean}, "devices": words, "ignore_growroot_disabled": flag}),
	"grub_dpkg": openMap, "grub-dpkg": openMap, "hostname": word, "keyboard": fields(map[string]rule{"layout": word, "model": word, "variant": word, "options": word}), "landscape": openMap,
	"launch-index": number, "locale": {kinds: str | boolean}, "locale_configfile": word, "lxd": openMap, "manage_etc_hosts": {kinds: str | boolean}, "manage_resolv_conf": flag, "mcollective": openMap,
	"merge_how": {kinds: str | list, items: &any_}, "merge_type": {kinds: str | list, items: &any_}, "migrate": flag, "mount_default_fields": listOf(any_),
	"mounts":              listOf(rule{kinds: list, items: &rule{kinds: str | integer | null}}),
	"network":             {kinds: mapping, other: &any_, note: "The network is not set here: it has a field of its own, network_config."},
	"no_ssh_fingerprints": flag,
	"ntp":                 or(fields(map[string]rule{"enabled": flag, "servers": words, "pools": words, "peers": words, "allow": words, "ntp_client": word, "config": openMap}), null),
	"output":              openMap, "package_reboot_if_required": flag, "package_update": flag, "package_upgrade": flag,
	"packages":                  listOf(rule{kinds: str | list | mapping, items: &word, other: &any_}),
	"password":                  wordly,
	"phone_home":                fields(map[string]rule{"url": word, "post": {kinds: str | list, items: &word}, "tries": number}),
	"power_state":               fields(map[string]rule{"delay": {kinds: str | integer}, "mode": word, "message": word, "timeout": number, "condition": {kinds: str | boolean | list, items: &any_}}),
	"prefer_fqdn_over_hostname": flag, "preserve_hostname": flag, "puppet": openMap, "random_seed": openMap, "redhat_subscription": openMap, "reporting": openMap, "resize_rootfs": {kinds: str | boolean},
	"resolv_conf": openMap, "rh_subscription": openMap, "rpi": openMap, "rsyslog": {kinds: mapping, other: &any_}, "runcmd": commands, "salt_minion": openMap, "snap": openMap, "spacewalk": openMap,
	"ssh": openMap, "ssh_authorized_keys": words, "ssh_deletekeys": flag, "ssh_fp_console_blacklist": words, "ssh_genkeytypes": words, "ssh_import_id": words, "ssh_key_console_blacklist": words,
	"ssh_keys": {kinds: mapping, other: &word, note: ""}, "ssh_publish_hostkeys": openMap, "ssh_pwauth": {kinds: boolean | str}, "ssh_quiet_keygen": flag,
	"swap":             fields(map[string]rule{"filename": word, "size": {kinds: str | integer}, "maxsize": {kinds: str | integer}}),
	"syslog_fix_perms": wordOrs, "system_info": openMap, "timezone": word, "ubuntu_advantage": openMap, "ubuntu_pro": openMap, "updates": openMap,
	"user":        userItem,
	"users":       {kinds: str | list | mapping, items: &userItem, other: &any_},
	"vendor_data": openMap, "version": any_, "wireguard": openMap,
	"write_files": listOf(fields(map[string]rule{
		"path": word, "content": {kinds: str | integer}, "encoding": word, "owner": word, "permissions": octal, "append": flag, "defer": flag, "source": openMap,
	})),
	"yum_repos": openMap, "yum_repo_dir": word, "zypper": openMap,
}

var nameservers = fields(map[string]rule{"addresses": words, "search": words})

func device(more map[string]rule) rule {
	keys := map[string]rule{
		"renderer": word, "dhcp4": flag, "dhcp6": flag, "dhcp-identifier": word, "dhcp4-overrides": openMap, "dhcp6-overrides": openMap, "dhcp6_overrides": openMap, "accept-ra": flag, "addresses": listOf(rule{kinds: str | mapping, other: &any_}),
		"gateway4": word, "gateway6": word, "mtu": number, "nameservers": nameservers, "optional": flag, "optional-addresses": words, "macaddress": word, "critical": flag, "wakeonlan": flag, "link-local": words, "activation-mode": word,
		"ipv6-privacy": flag, "ipv6-mtu": number, "neigh-suppress": flag,
		"routes":         listOf(fields(map[string]rule{"to": word, "via": word, "metric": number, "type": word, "scope": word, "on-link": flag, "from": word, "mtu": number, "table": number})),
		"routing-policy": listOf(openMap),
	}
	for k, r := range more {
		keys[k] = r
	}
	return rule{kinds: mapping, other: func() *rule { r := fields(keys); return &r }()}
}

var networkKeys = map[string]rule{
	"version": number, "renderer": word,
	"ethernets": device(map[string]rule{"match": fields(map[string]rule{"name": word, "macaddress": word, "driver": wordOrs}), "set-name": word}),
	"bonds":     device(map[string]rule{"interfaces": words, "parameters": openMap}),
	"bridges":   device(map[string]rule{"interfaces": words, "parameters": openMap}),
	"vlans":     device(map[string]rule{"id": number, "link": word}),
	"wifis":     {kinds: mapping, other: &any_},
}
