// Command novacron runs and manages virtual machines on hosts that libvirt drives.
//
// This file is flags, environment and file -> configuration -> wiring -> run. It is the only one that imports everything, and it is not
// for anything else: what the server does is in handlers, jobs and db.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"novacron/auth"
	"novacron/auth/offline"
	"novacron/db"
	"novacron/db/backup"
	"novacron/db/seal"
	"novacron/db/series"
	"novacron/domain"
	"novacron/domain/compliance"
	"novacron/handlers"
	"novacron/handlers/cert"
	"novacron/handlers/cli"
	"novacron/hv/libvirt"
	"novacron/hv/pool"
	"novacron/jobs"
	"novacron/jobs/alerts"
	"novacron/jobs/fleet"
	"novacron/jobs/guest"
	"novacron/jobs/images"
	"novacron/jobs/meter"
	"novacron/jobs/nets"
	"novacron/jobs/reconcile"
	"novacron/jobs/remote"
	"novacron/jobs/rollup"
	"novacron/jobs/snapshot"
	"novacron/jobs/syslog"
	"novacron/jobs/webhooks"
	"novacron/static"
)

// version is set by the build.
var version = "development"

// collectAt is how much the heap may grow between two collections, in percent of what lives: pages are drawn once for all, so that collecting is cheap
// here and memory is what an estate's mirror takes.
const collectAt = 60

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	root := commands()
	if err := root.ExecuteContext(ctx); err != nil {
		os.Exit(cli.Report(os.Stderr, err))
	}
}

// config is all that can be set. The names are the flags', the file's and, in capitals after NOVACRON_, the environment's.
type config struct {
	Data          string        `koanf:"data"`
	Listen        string        `koanf:"listen"`
	TLSCert       string        `koanf:"tls-cert"`
	TLSKey        string        `koanf:"tls-key"`
	SecureCookies bool          `koanf:"secure-cookies"`
	TrustedProxy  []string      `koanf:"trusted-proxy"`
	LocalHost     bool          `koanf:"local-host"`
	DemoDir       string        `koanf:"demo-dir"`
	LogLevel      string        `koanf:"log-level"`
	LogFormat     string        `koanf:"log-format"`
	Retention     time.Duration `koanf:"retention"`
	// Metrics is how long samples are kept.
	Metrics time.Duration `koanf:"metrics-retention"`
	// MetricsSize bounds the samples on disk, MetricsReserve is what they leave free of it, and Rollups is how long hours of them are kept.
	MetricsSize    string        `koanf:"metrics-size"`
	MetricsReserve string        `koanf:"metrics-reserve"`
	Rollups        time.Duration `koanf:"rollup-retention"`
	RemoteWrite    string        `koanf:"remote-write"`
	// AlertEvery is the time between two evaluations of the rules of alerts.
	AlertEvery time.Duration `koanf:"alert-interval"`
	// APIRate is how many requests a minute one token may send.
	APIRate    int    `koanf:"api-rate"`
	FetchLocal bool   `koanf:"fetch-local"`
	URL        string `koanf:"url"`
	SMTP       string `koanf:"smtp"`
	MailFrom   string `koanf:"mail-from"`

	SealKeyCommand string `koanf:"seal-key-command"`

	ACMEDomain    []string `koanf:"acme-domain"`
	ACMEDirectory string   `koanf:"acme-directory"`
	ACMECA        string   `koanf:"acme-ca"`
	ACMEEmail     string   `koanf:"acme-email"`
	ACMEHTTP      string   `koanf:"acme-http"`

	AuditRetention time.Duration `koanf:"audit-retention"`
	AuditSyslog    []string      `koanf:"audit-syslog"`
}

var defaults = config{
	Data: "./data", Listen: ":8080", LocalHost: true, DemoDir: "/var/lib/libvirt/images/novacron-demo", LogLevel: "info", LogFormat: "text", Retention: 90 * 24 * time.Hour,
	AuditRetention: 2 * 365 * 24 * time.Hour, Metrics: 15 * 24 * time.Hour, MetricsSize: "20 GiB", MetricsReserve: "256 MiB", Rollups: 2 * 365 * 24 * time.Hour, AlertEvery: 15 * time.Second, APIRate: 60_000,
}

const envPrefix = "NOVACRON_"

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// load reads the configuration: defaults, then the file, then the environment, then the flags that were given. The warnings name variables that
// look like ours and are not.
func load(cmd *cobra.Command) (cfg config, warnings []string, err error) {
	bad := func(format string, args ...any) (config, []string, error) {
		return cfg, nil, domain.Errorf(domain.Invalid, format, args...).WithFix("See novacron serve --help for what can be set.")
	}
	k := koanf.New(".")
	full := serveCommand().Flags()
	if err := k.Load(posflag.Provider(full, ".", k), nil); err != nil {
		return bad("The defaults cannot be read: %w", err)
	}
	k.Delete("config")
	known := k.Keys()
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return cfg, nil, err
	}
	if path = cmp.Or(path, os.Getenv(envName("config"))); path != "" {
		f := koanf.New(".")
		if err := f.Load(file.Provider(path), yaml.Parser()); err != nil {
			return bad("The configuration file %s cannot be read: %w", path, err)
		}
		for _, key := range f.Keys() {
			if !slices.Contains(known, key) {
				return bad("The configuration file %s sets “%s”, which does not exist.", path, key)
			}
		}
		if err := k.Merge(f); err != nil {
			return bad("The configuration file %s cannot be used: %w", path, err)
		}
	}
	err = k.Load(env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(name, value string) (string, any) {
		key := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "_", "-"))
		if !slices.Contains(known, key) && key != "config" && !slices.Contains([]string{"seal-key", "seal-key-new", "smtp-password", "remote-write-token"}, key) {
			warnings = append(warnings, name)
		}
		if !slices.Contains(known, key) || value == "" { // an empty variable is one that is not set
			return "", nil
		}
		return key, value
	}}), nil)
	if err != nil {
		return bad("The environment cannot be read: %w", err)
	}
	if err := k.Load(posflag.Provider(cmd.Flags(), ".", k), nil); err != nil {
		return bad("The flags cannot be read: %w", err)
	}
	if err := k.Unmarshal("", &cfg); err != nil {
		return bad("The configuration has a value of the wrong kind: %w", err)
	}
	if cfg.Data, err = filepath.Abs(cfg.Data); err != nil {
		return bad("The data directory %s cannot be resolved: %w", cfg.Data, err)
	}
	return cfg, warnings, nil
}

// proxies reads the addresses that may say on whose behalf they ask.
func (c config) proxies() ([]*net.IPNet, error) {
	var out []*net.IPNet
	for _, s := range c.TrustedProxy {
		if ip := net.ParseIP(s); ip != nil {
			bits := len(ip.To16()) * 8
			if v4 := ip.To4(); v4 != nil {
				ip, bits = v4, 32
			}
			out = append(out, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
			continue
		}
		_, n, err := net.ParseCIDR(s)
		if err != nil {
			return nil, domain.Errorf(domain.Invalid, "“%s” in trusted-proxy is not an address or a network.", s).WithFix("Write for example 10.0.0.5 or 10.0.0.0/24.")
		}
		out = append(out, n)
	}
	return out, nil
}

// auditTargets reads where the audit log is sent to.
func (c config) auditTargets() ([]syslog.Target, error) {
	if c.AuditRetention != 0 && c.AuditRetention < 24*time.Hour {
		return nil, domain.Errorf(domain.Invalid, "%s is too short to keep the audit log.", c.AuditRetention).WithFix("Set audit-retention to at least 24h, or to 0 to keep it for good; 17520h are two years.")
	}
	var out []syslog.Target
	for _, text := range c.AuditSyslog {
		t, err := syslog.Parse(text)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// described is how the server runs, for the page that judges it.
func (c config) described(tls bool, targets []syslog.Target) compliance.Server {
	s := compliance.Server{TLS: tls, SecureCookies: c.SecureCookies, Proxies: c.TrustedProxy, FetchLocal: c.FetchLocal, AuditRetention: c.AuditRetention,
		KeyBeside: c.SealKeyCommand == "" && os.Getenv(envName("seal-key")) == ""}
	for _, t := range targets {
		s.AuditTargets = append(s.AuditTargets, t.Name)
	}
	return s
}

// guests is the demo guest, when its files are there. The command line shows it on the screen and on the serial port.
func (c config) guests() []handlers.Guest {
	g := handlers.Guest{
		Label: "Demo guest: a tiny Linux", Kernel: filepath.Join(c.DemoDir, "vmlinuz"), Initrd: filepath.Join(c.DemoDir, "initrd.gz"),
		Cmdline: "console=tty0 console=ttyS0 quiet labtick=1",
	}
	for _, path := range []string{g.Kernel, g.Initrd} {
		if _, err := os.Stat(path); err != nil {
			return nil
		}
	}
	return []handlers.Guest{g}
}

// tls says how HTTPS is answered, what answers an authority on plain HTTP, and when the certificate ends where that is known; nil means plain HTTP.
func (c config) tls(log *slog.Logger) (*tls.Config, http.Handler, func() (time.Time, bool), error) {
	if len(c.ACMEDomain) == 0 {
		if c.ACMEHTTP != "" || c.ACMEDirectory != "" {
			return nil, nil, nil, domain.Errorf(domain.Invalid, "It is not said what the certificate is for.").WithFix("Set acme-domain to the name of this server.")
		}
		if c.TLSCert == "" && c.TLSKey == "" {
			return nil, nil, nil, nil
		}
		f, err := cert.Open(c.TLSCert, c.TLSKey, log, time.Now)
		if err != nil {
			return nil, nil, nil, err
		}
		return f.TLS(), nil, f.Ends, nil
	}
	if c.TLSCert != "" || c.TLSKey != "" {
		return nil, nil, nil, domain.Errorf(domain.Invalid, "The certificate comes either from a file or from an authority.").WithFix("Set tls-cert and tls-key, or acme-domain.")
	}
	a, err := cert.ACME{Domains: c.ACMEDomain, Directory: c.ACMEDirectory, CA: c.ACMECA, Email: c.ACMEEmail, Dir: filepath.Join(c.Data, "acme")}.Open()
	if err != nil {
		return nil, nil, nil, err
	}
	return a.TLS(), a.Challenges(), nil, nil
}

func (c config) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, domain.Errorf(domain.Invalid, "“%s” is not a log level.", c.LogLevel).WithFix("Use debug, info, warn or error.")
	}
	opt := &slog.HandlerOptions{Level: level}
	switch c.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, opt)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opt)), nil
	}
	return nil, domain.Errorf(domain.Invalid, "“%s” is not a log format.", c.LogFormat).WithFix("Use text or json.")
}

// openDatabase opens it with the seal key of the environment, or with the one beside the file. A key is no flag: command lines are seen by everybody.
func openDatabase(ctx context.Context, cfg config, log *slog.Logger) (*db.DB, error) {
	box, err := sealBox(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return db.Open(ctx, db.File(cfg.Data), log, time.Now, db.Seal(box))
}

func sealBox(ctx context.Context, cfg config) (*seal.Box, error) {
	if cfg.SealKeyCommand != "" {
		return seal.FromCommand(ctx, cfg.SealKeyCommand)
	}
	return seal.Load(cfg.Data, os.Getenv(envName("seal-key")))
}

// place is where a command's flags say the data is, and its key. Only a key that is there is taken; none is made.
func place(cmd *cobra.Command) (offline.Place, error) {
	cfg, _, err := load(cmd)
	return offline.Place{Data: cfg.Data, Key: func(ctx context.Context) (*seal.Box, bool, error) {
		outside := cfg.SealKeyCommand != "" || os.Getenv(envName("seal-key")) != ""
		if _, err := os.Stat(filepath.Join(cfg.Data, seal.KeyFile)); err != nil && !outside {
			return nil, false, nil
		}
		box, err := sealBox(ctx, cfg)
		return box, outside, err
	}}, err
}

// serve runs the server until ctx ends.
func serve(ctx context.Context, cfg config, log *slog.Logger, out io.Writer) error {
	proxies, err := cfg.proxies()
	if err != nil {
		return err
	}
	if cfg.Retention < time.Hour {
		return domain.Errorf(domain.Invalid, "%s is too short to keep events and tasks.", cfg.Retention).WithFix("Set retention to at least 1h; 2160h are 90 days.")
	}
	if cfg.APIRate < 0 {
		return domain.Errorf(domain.Invalid, "%d is not a number of requests.", cfg.APIRate).WithFix("Set api-rate to the requests that one token may send in a minute, or to 0 for any number.")
	}
	if cfg.AlertEvery < time.Second {
		return domain.Errorf(domain.Invalid, "%s is too short between two evaluations of the rules of alerts.", cfg.AlertEvery).WithFix("Set alert-interval to at least 1s; 15s is usual.")
	}
	targets, err := cfg.auditTargets()
	if err != nil {
		return err
	}
	secure, challenges, expiry, err := cfg.tls(log)
	if err != nil {
		return err
	}
	unlock, err := db.LockData(cfg.Data)
	if err != nil {
		return err
	}
	defer unlock()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return domain.Errorf(domain.Invalid, "“%s” cannot be listened on: %w", cfg.Listen, err).WithFix("Write an address and a port that is free, such as :8080 or 127.0.0.1:8081.")
	}
	defer listener.Close()
	var plain net.Listener
	if cfg.ACMEHTTP != "" {
		if plain, err = lc.Listen(ctx, "tcp", cfg.ACMEHTTP); err != nil {
			return domain.Errorf(domain.Invalid, "“%s” in acme-http cannot be listened on: %w", cfg.ACMEHTTP, err).WithFix("Write an address and a port that is free, such as :80.")
		}
		defer plain.Close()
	}
	d, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := d.Close(); err != nil {
			log.Error("the database did not close cleanly", "error", err)
		}
	}()
	authn := auth.New(d, log, time.Now, auth.Options{Secure: cfg.SecureCookies || secure != nil, FetchLocal: cfg.FetchLocal, Server: cfg.described(secure != nil, targets)})
	if err := authn.UsePost(auth.Post{Server: cfg.SMTP, Password: os.Getenv(envName("smtp-password")), From: cfg.MailFrom, Site: cfg.URL}); err != nil {
		return err
	}
	name, password, first, err := authn.EnsureAdmin(ctx)
	if err != nil {
		return err
	}
	if first { // before anything else can fail: it is never shown again, and the log never has it
		fmt.Fprintf(out, "\nFirst start. Sign in with this name and one-time password, then choose your own:\n\n  name:     %s\n  password: %s\n\n", name, password)
	}
	kept, err := series.Bounds(cfg.Metrics, cfg.MetricsSize, cfg.MetricsReserve, cfg.Rollups)
	if err != nil {
		return err
	}
	dialer := libvirt.NewDialer(libvirt.Options{Log: log, Clock: time.Now})
	measured, err := series.Open(filepath.Join(cfg.Data, "metrics"), log, kept)
	if err != nil {
		return err
	}
	defer func() {
		if err := measured.Close(); err != nil {
			log.Error("the samples were not closed cleanly", "error", err)
		}
	}()
	measured.UseLong(d)
	onward, err := remote.New(measured, log, remote.Options{URL: cfg.RemoteWrite, Token: os.Getenv(envName("remote-write-token")), Local: cfg.FetchLocal})
	if err != nil {
		return err
	}
	rec := reconcile.New(d, log, time.Now, reconcile.Options{Retention: cfg.Retention, AuditRetention: cfg.AuditRetention})
	hosts := pool.New(dialer, log, time.Now, rec.Hooks())
	engine := jobs.NewEngine(d, log, time.Now, jobs.Options{})
	front := fleet.New(d, engine, time.Now)
	shelf, err := images.Open(filepath.Join(cfg.Data, "images"), images.Options{FetchLocal: cfg.FetchLocal, Clock: time.Now})
	if err != nil {
		return err
	}
	front.UseLibrary(shelf)
	front.Register(hosts, dialer, rec)
	for _, g := range cfg.guests() {
		front.Offer(g.Kernel, g.Initrd)
	}
	var mail alerts.Mail
	if authn.Mails() {
		mail = authn.Mail
	}
	hooks := webhooks.New(d, log, time.Now, cfg.URL, cfg.FetchLocal)
	teller := alerts.NewSender(d, log, time.Now, mail, cfg.URL, cfg.FetchLocal)
	closing := make(chan struct{})
	site, err := handlers.New(handlers.Deps{
		DB: d, Engine: engine, Fleet: front, Auth: authn, Console: fleet.NewConsole(d, hosts), Log: log, Clock: time.Now, Static: static.Files(), Version: version,
		TrustedProxies: proxies, Guests: cfg.guests(), Closing: closing, Series: measured,
		Alerts: alerts.NewDesk(d, measured, time.Now, teller, cfg.FetchLocal), Webhooks: hooks, APIRate: cfg.APIRate, Site: cfg.URL,
	})
	if err != nil {
		return err
	}

	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	base, cutRequests := context.WithCancel(work)
	defer cutRequests()
	server := &http.Server{
		Handler: handlers.LimitBodies(site), BaseContext: func(net.Listener) context.Context { return base }, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		TLSConfig: secure, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 3 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	if err := rec.Begin(ctx); err != nil { // before the first answer: what the last server knew may not be so any more
		return err
	}
	g, alive := errgroup.WithContext(work)
	g.Go(func() error { return hosts.Run(work) })
	g.Go(func() error { return rec.Run(work, hosts) })
	for _, run := range []func(context.Context) error{
		authn.RunMail, engine.Run, teller.Run, onward.Run, hooks.Run,
		nets.NewWatch(d, hosts, engine, log, time.Now, nets.WatchOptions{}).Run,
		guest.NewCollector(d, hosts, log, time.Now, guest.CollectorOptions{Told: meter.NewGuests(d, measured, time.Now).Tell}).Run,
		meter.New(d, measured, hosts, log, time.Now, meter.Options{Expiry: expiry, Remote: onward.Figures, Backup: func() (time.Time, bool) { return backup.Last(cfg.Data) }}).Run,
		alerts.New(d, measured, log, time.Now, alerts.Options{Interval: cfg.AlertEvery, Warm: min(cfg.AlertEvery, 15*time.Second), Site: cfg.URL}).Run,
		rollup.New(d, measured, log, time.Now, rollup.Options{Keep: cfg.Rollups}).Run,
		syslog.New(d, targets, log, time.Now, syslog.Options{Host: machineName()}).Run,
		snapshot.NewClock(d, engine, log, time.Now).Run,
	} {
		g.Go(func() error { return run(work) })
	}
	g.Go(func() error { return front.KeepImages(work, log) })
	g.Go(func() error { return front.KeepPlans(work, log) })
	g.Go(func() error {
		serveOn := server.Serve
		if secure != nil {
			serveOn = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
		}
		if err := serveOn(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	aside := &http.Server{Handler: challenges, ErrorLog: server.ErrorLog, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	if plain != nil {
		g.Go(func() error {
			if err := aside.Serve(plain); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	g.Go(func() error { // ends everything in order: streams, requests, work
		select {
		case <-ctx.Done():
			log.Info("stopping; a second signal ends at once")
		case <-alive.Done():
		}
		defer stopWork()
		close(closing)
		if err := aside.Close(); err != nil {
			log.Debug("the listener for challenges did not close", "error", err)
		}
		cut := time.AfterFunc(4*time.Second, cutRequests)
		defer cut.Stop()
		stopping, cancel := context.WithTimeout(base, 8*time.Second)
		defer cancel()
		if err := server.Shutdown(stopping); err != nil {
			return server.Close()
		}
		return nil
	})
	log.Info("serving", "version", version, "address", listener.Addr().String(), "data", cfg.Data)
	fmt.Fprintf(out, "NovaCron %s is on %s\n", version, address(cfg, listener.Addr()))
	if missing := static.Missing(); len(missing) > 0 {
		fmt.Fprintf(out, "This binary was built without the browser's files (%s and so on): pages will look bare. Build it with make build.\n", missing[0])
		log.Warn("built without the browser's files", "missing", strings.Join(missing, " "))
	}
	if cfg.LocalHost {
		g.Go(func() error { return addLocalHost(alive, d, engine, front, out) })
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Wait() }()
	<-work.Done()
	select {
	case err = <-ended:
	case <-time.After(5 * time.Second):
		return domain.Errorf(domain.Internal, "Some work did not end in time; it is taken up again at the next start.")
	}
	if err != nil && !(ctx.Err() != nil && errors.Is(err, context.Canceled)) {
		return err
	}
	log.Info("stopped")
	return nil
}

// address is what to type into a browser on this machine.
func address(cfg config, a net.Addr) string {
	scheme := "http"
	if cfg.TLSCert != "" || len(cfg.ACMEDomain) > 0 {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return scheme + "://" + a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		return fmt.Sprintf("%s://localhost:%s (and on every address of this machine)", scheme, port)
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// localHostDone marks that this machine was added once: who removes it later does not find it back.
const localHostDone = "local-host.added"

// addLocalHost makes this machine's own libvirt the first host of an empty estate. When it does not answer the server goes on without, says what to
// do, and tries again at the next start.
func addLocalHost(ctx context.Context, d *db.DB, engine *jobs.Engine, front *fleet.Fleet, out io.Writer) error {
	_, done, err := d.Setting(ctx, localHostDone)
	if err != nil || done {
		return err
	}
	hosts, err := d.Hosts(ctx)
	if err != nil || len(hosts) > 0 {
		return err
	}
	const uri = "qemu:///system"
	job, err := front.AddHost(ctx, "system", fleet.AddHost{Name: machineName(), URI: uri})
	if err == nil {
		job, err = engine.Wait(ctx, job.ID)
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		fmt.Fprintf(out, "This machine could not be added as a host: %s\n", strings.Join(cli.Lines(err), "\n"))
		return nil
	case job.State != domain.JobSucceeded:
		why, fix := "the job is "+string(job.State), "See the task for the reason."
		if job.Error != nil {
			why, fix = job.Error.Message, job.Error.Fix
		}
		fmt.Fprintf(out, "This machine's libvirt (%s) could not be connected: %s\n  %s\n  Then start NovaCron again, or add the host on the page Hosts. To serve other hosts only, start with --local-host=false.\n", uri, why, fix)
		return nil
	}
	fmt.Fprintf(out, "This machine is connected as the first host, %s (%s).\n", job.Resource.Name, uri)
	return d.Write(ctx, func(tx *db.Tx) error { return tx.SetSetting(localHostDone, job.ID) })
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+|^[^A-Za-z0-9]+|[^A-Za-z0-9]+$`)

func machineName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return cmp.Or(notInNames.ReplaceAllString(name[:min(len(name), 60)], ""), "localhost")
}

func commands() *cobra.Command {
	root := &cobra.Command{
		Use:   "novacron",
		Short: "Run and manage virtual machines on hosts that libvirt drives",
		Long: `NovaCron runs and manages virtual machines on hosts that libvirt drives, from the browser
and by an HTTP API. Nothing is installed on the hosts: it speaks libvirt's own protocol.

Start it with "novacron serve" and open the address that it prints.`,
		Example: `  novacron serve                                  on :8080, data in ./data, with this machine as the first host
  novacron serve --listen 127.0.0.1:9000 --data /var/lib/novacron
  novacron token create --data /var/lib/novacron --name ci
  novacron user reset-password admin --data /var/lib/novacron`,
		SilenceErrors: true, SilenceUsage: true,
		Version: buildVersion(),
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return domain.Errorf(domain.Invalid, "%s", err.Error()).WithFix("See %s --help.", cmd.CommandPath())
	})
	root.SetVersionTemplate("novacron {{.Version}}\n")
	root.AddCommand(offline.Commands(openOffline, dataFlags)...)
	root.AddCommand(serveCommand(), secretsCommand(), offline.BackupCommand(place, dataFlags, version), &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "novacron "+buildVersion()) },
	})
	cli.Add(root, cli.System(buildVersion()))
	return root
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return version + " (" + info.GoVersion + ")"
	}
	return version
}

// dataFlags are what every command takes.
func dataFlags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String("data", defaults.Data, "data directory: an SQLite database and the image library ["+envName("data")+"]")
	cmd.Flags().String("config", "", "YAML file with any of the flags of serve as keys ["+envName("config")+"]")
	return cmd
}

func serveCommand() *cobra.Command {
	cmd := dataFlags(&cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until SIGTERM or SIGINT. A second signal ends it at once.

The first start makes the account "admin" and prints its one-time password, once, here. With
--local-host (the default) the first start also connects this machine's own libvirt,
qemu:///system, as the first host.

Each setting can be given as a flag, as an environment variable (its name stands in brackets) or
as a key of the file that --config names, such as "log-level: debug". A flag wins over a
variable, a variable over the file. A list is separated by commas in a variable.

Logs go to standard error; the address and the first password to standard output.`,
		Example: `  novacron serve
  novacron serve --data /var/lib/novacron --listen 127.0.0.1:8080 --trusted-proxy 127.0.0.1 --secure-cookies
  NOVACRON_LISTEN=:9000 novacron serve --local-host=false --log-format json
  novacron serve --config /etc/novacron.yaml --tls-cert cert.pem --tls-key key.pem --listen :443`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := load(cmd)
			if err != nil {
				return err
			}
			log, err := cfg.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			for _, name := range warnings {
				log.Warn("this environment variable sets nothing", "name", name)
			}
			return serve(cmd.Context(), cfg, log, cmd.OutOrStdout())
		},
	})
	f := cmd.Flags()
	set := func(name, text string) string { return text + " [" + envName(name) + "]" }
	f.String("listen", defaults.Listen, set("listen", "address and port to serve on"))
	f.Bool("local-host", defaults.LocalHost, set("local-host", "connect this machine's qemu:///system as the first host on first start"))
	f.String("demo-dir", defaults.DemoDir, set("demo-dir", "where the demo guest's vmlinuz and initrd.gz are, offered for new VMs on this machine"))
	f.String("tls-cert", "", set("tls-cert", "certificate (PEM, with its chain) to serve HTTPS with; read anew when it changes"))
	f.String("tls-key", "", set("tls-key", "key (PEM) of the certificate"))
	f.StringSlice("acme-domain", nil, set("acme-domain", "name of this server, to get a certificate for by ACME; may be given several times"))
	f.String("acme-directory", "", set("acme-directory", "directory of the ACME authority; without it Let's Encrypt's"))
	f.String("acme-ca", "", set("acme-ca", "file of authorities (PEM) that the directory's own certificate is from; without it the system's"))
	f.String("acme-email", "", set("acme-email", "whom the ACME authority may write to"))
	f.String("acme-http", "", set("acme-http", "address and port, such as :80, for the challenge http-01 and for sending visitors to HTTPS; without it the challenge is tls-alpn-01"))
	f.Bool("secure-cookies", false, set("secure-cookies", "a proxy in front serves HTTPS: let browsers send the session over HTTPS only"))
	f.StringSlice("trusted-proxy", nil, set("trusted-proxy", "address or network of a proxy whose X-Forwarded-For is believed; may be given several times"))
	f.Duration("retention", defaults.Retention, set("retention", "how long events and ended jobs are kept"))
	f.Duration("metrics-retention", defaults.Metrics, set("metrics-retention", "how long samples of what is measured are kept"))
	f.String("metrics-size", defaults.MetricsSize, set("metrics-size", "the most that samples may take on disk; the oldest go first"))
	f.String("metrics-reserve", defaults.MetricsReserve, set("metrics-reserve", "room on the disk that samples leave free: below it nothing is kept of what is measured; 0: none"))
	f.Duration("rollup-retention", defaults.Rollups, set("rollup-retention", "how long hours of samples are kept"))
	f.String("remote-write", "", set("remote-write", "address that what is measured is sent on to by Prometheus' remote write, such as https://metrics.example.org/api/v1/write; its bearer token is "+envName("remote-write-token")))
	f.Int("api-rate", defaults.APIRate, set("api-rate", "requests to the API that one token may send in a minute; 0: any number"))
	f.Duration("alert-interval", defaults.AlertEvery, set("alert-interval", "time between two evaluations of the rules of alerts"))
	f.Duration("audit-retention", defaults.AuditRetention, set("audit-retention", "how long rows of the audit log are kept; 0: for good"))
	f.StringSlice("audit-syslog", nil, set("audit-syslog", "where the audit log is sent to as it grows, as syslog: udp://, tcp:// or tls:// with host:port; may be given several times"))
	f.Bool("fetch-local", false, set("fetch-local", "let images be fetched from, and alerts be told to, addresses of this machine and its network links too"))
	f.String("url", "", set("url", "address of this site as people type it, such as https://novacron.example.org; links in mail begin with it"))
	f.String("smtp", "", set("smtp", "mail server, for invitations, forgotten passwords and alerts: smtp://name@host:587 (STARTTLS), smtps://name@host or smtp+plain://localhost:25; its password is "+envName("smtp-password")))
	f.String("mail-from", "", set("mail-from", "sender of mail, such as “NovaCron <novacron@example.org>”"))
	f.String("seal-key-command", "", set("seal-key-command", "command that prints the key for secrets, such as one of a key service; without it the key is "+envName("seal-key")+" or seal.key in the data directory"))
	f.String("log-level", defaults.LogLevel, set("log-level", "debug, info, warn or error"))
	f.String("log-format", defaults.LogFormat, set("log-format", "text or json"))
	return cmd
}

// openOffline opens the database of a server, which may be running meanwhile, for one command.
func openOffline(cmd *cobra.Command, mayMake bool, do func(ctx context.Context, d *db.DB, a *auth.Auth, actor string) error) error {
	cfg, _, err := load(cmd)
	if err != nil {
		return err
	}
	path := db.File(cfg.Data)
	if _, err := os.Stat(path); err != nil && !mayMake {
		return domain.Errorf(domain.NotFound, "There is no NovaCron data in %s.", cfg.Data).WithFix("Name the server's directory with --data.")
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
	d, err := openDatabase(cmd.Context(), cfg, log)
	if err != nil {
		return err
	}
	who := "command line"
	if u, err := user.Current(); err == nil {
		who += " (" + u.Username + ")"
	}
	ctx := domain.WithCause(cmd.Context(), &domain.Cause{Actor: who, Proof: "command line", Asked: cmd.CommandPath()})
	return errors.Join(do(ctx, d, auth.New(d, log, time.Now, auth.Options{}), who), d.Close())
}

func secretsCommand() *cobra.Command {
	secrets := &cobra.Command{Use: "secrets", Short: "Change the key that secrets are sealed with; while the server is stopped"}
	rotate := dataFlags(&cobra.Command{
		Use: "rotate", Short: "Seal every secret with a new key", Args: cobra.NoArgs,
		Long: `Seal every secret with a new key: credentials of hosts, passphrases of volumes, second factors and
what first boots read. All are sealed anew or none is; the audit log stays as it can be verified.

With the key in the data directory a new one is made in its place, and the old one is gone. With a
key from NOVACRON_SEAL_KEY or from a command the new one is taken from ` + newKeyEnv + `; put it where
the old one is kept, then start the server. The server must be stopped.`,
		Example: "  novacron secrets rotate --data /var/lib/novacron",
	})
	rotate.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := load(cmd)
		if err != nil {
			return err
		}
		path := db.File(cfg.Data)
		if _, err := os.Stat(path); err != nil {
			return domain.Errorf(domain.NotFound, "There is no NovaCron data in %s.", cfg.Data).WithFix("Name the server's directory with --data.")
		}
		unlock, err := db.LockData(cfg.Data)
		if err != nil {
			return err
		}
		defer unlock()
		n, err := rotateSecrets(cmd.Context(), cfg, path, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError})))
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "%d secrets are sealed with the new key.\n", n)
		}
		return err
	}
	secrets.AddCommand(rotate)
	return secrets
}

// newKeyEnv is where a new key comes from when the old one does not lie in the data directory.
const newKeyEnv = envPrefix + "SEAL_KEY_NEW"

func rotateSecrets(ctx context.Context, cfg config, path string, log *slog.Logger) (n int, err error) {
	if os.Getenv(envName("seal-key")) == "" && cfg.SealKeyCommand == "" {
		return db.RotateKeyFile(ctx, path, log, time.Now)
	}
	text := os.Getenv(newKeyEnv)
	if text == "" {
		return 0, domain.Errorf(domain.Invalid, "There is no new key.").WithFix("Make one with head -c 32 /dev/urandom | base64, and give it as %s.", newKeyEnv)
	}
	box, err := seal.Load(cfg.Data, text)
	if err != nil {
		return 0, err
	}
	d, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return 0, err
	}
	n, err = d.Rotate(ctx, box)
	return n, errors.Join(err, d.Close())
}
