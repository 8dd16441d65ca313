package live

// Pages of devices that hosts can give away.
const (
	Devices         = "/devices"                          // GET class, host, free
	PatDeviceAttach = "/hosts/:id/devices/:device/attach" // GET dialog, POST vm
)

// DevicesOn is the list of one host's devices.
func DevicesOn(hostID string) string { return HostTab(hostID, "devices") }

// DevicesOfClass is the list of the estate's devices of one class.
func DevicesOfClass(class string) string { return With(Devices, "class", class) }

// DeviceAttach asks which VM gets a device, and gives it.
func DeviceAttach(hostID, device string) string {
	return at("hosts", hostID, "devices", device, "attach")
}
