# NovaCron: `make run` serves it, `make test` proves it. Everything else is a part of those two.
# Each target may be run twice in a row, from a clean clone, with and without systemd, as root or as a user who may sudo.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
DATA    ?= data
LISTEN  ?= :8080
ARGS    ?=
N       ?= 3

# The demo guest lies where a host's default pool is, so that the create form can offer it by a path every host knows.
DEMO := /var/lib/libvirt/images/novacron-demo
# The race detector slows SQLite tenfold; these packages hold the goroutines that matter and stay quick under it.
# The sweeps of the single workflows run without it: hundreds of databases each, over steps that run one after the other.
RACE := ./domain/... ./jobs ./jobs/fleet/... ./jobs/reconcile ./hv/pool/... ./hv/rfb/... ./auth/...
COVERED := ./domain/... ./jobs/... ./hv/... ./db/... ./auth/...

# The Debian image lies in the default pool, where the create form offers it as a disk image that exists.
DEBIAN  ?= /var/lib/libvirt/images/novacron-debian.qcow2

BROWSER := static/vendor/.fetched

# One way to compile for build, vet, staticcheck and tests: what one of them has compiled, the next finds in the cache.
export CGO_ENABLED ?= 0
export GOFLAGS := $(strip $(filter-out -trimpath,$(shell $(GO) env GOFLAGS)) -trimpath)

##@ Use
run: run-deps build demo ## install what is missing, build, start libvirt where nothing else does, serve on $(LISTEN)
	.ci/host start
	exec .ci/host serve --data $(DATA) --listen $(LISTEN) $(ARGS)

build: static ## build ./novacron: one static binary
	$(GO) build -ldflags '-s -w -X main.version=$(VERSION)' -o novacron .

lab: run-deps test-deps build ## serve NovaCron over N lab hosts on this machine (make lab N=3)
	$(GO) run -exec "$(CURDIR)/.ci/deps as-root" ./e2e/lab/cmd/lab up --hosts $(N) --serve ./novacron --listen $(LISTEN)

##@ Prove
test: run-deps test-deps check ## install what is missing, then everything in check

check: build ## what CI runs: format, vet, staticcheck, gosec, generated files, tests, races, end to end
	.ci/check fmt
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	.ci/check gosec
	.ci/check generated
	node .ci/lint-spec.mjs
	.ci/check tests $(RACE)

gosec: ## every rule of gosec over every package; each exception stands in the code with its reason
	.ci/check gosec

cover: ## coverage of domain, jobs, hv, db and auth, by package and in all
	.ci/check cover $(COVERED)

bench: build ## the numbers NovaCron promises, as ratios within one run
	$(GO) test -exec "$(CURDIR)/.ci/deps as-root" -run '^$$' -bench . -benchtime 1x -count 1 -timeout 3h ./e2e/bench/...

chaos: build ## every fault at every phase of a migration: QEMU, libvirtd, NovaCron, the link, a full disk (an hour without KVM)
	NOVACRON_CHAOS=1 $(GO) test -exec "$(CURDIR)/.ci/deps as-root" -count 1 -timeout 3h -v ./e2e/chaos

fuzz: ## the parsers of tokens, cookies, sealed states, conditions and addresses, FUZZTIME (1m) each
	for f in auth:FuzzToken auth:FuzzCookie auth:FuzzSealed auth:FuzzSessionRecord auth/access:FuzzCondition handlers:FuzzSafeNext; do \
		$(GO) test -run '^$$' -fuzz "^$${f#*:}$$" -fuzztime $(or $(FUZZTIME),1m) ./$${f%%:*} || exit 1; \
	done

contract: ## requests made from the OpenAPI document against the server, five minutes (make contract SEED=2)
	NOVACRON_CONTRACT=5m NOVACRON_SEED=$(or $(SEED),1) $(GO) test ./handlers/api -run '^TestTheServerKeepsItsDocument$$' -count 1 -timeout 20m -v

cloud-test: run-deps test-deps build debian-image ## a real Debian guest boots and takes its cloud-init, seen from inside (10 min without KVM)
	NOVACRON_DEBIAN=$(DEBIAN) $(GO) test -exec "$(CURDIR)/.ci/deps as-root" -tags debian -run '^TestDebian' -count 1 -timeout 50m -v ./e2e

xml-roundtrip: test-deps ## edit each field of every domain XML under DIR, nothing else may differ (make xml-roundtrip DIR=/etc/libvirt/qemu)
	$(GO) test ./hv/libvirt/domxml -run '^TestXMLRoundTrip$$' -count 1 -v -args $(if $(DIR),-corpus '$(abspath $(DIR))')

release: static ## static binaries, .deb and .rpm, completions, man pages, SBOM and checksums in dist/
	.packaging/release $(VERSION) dist

release-check: static ## make a release twice, from two places: equal bytes, and packages that hold what they should (20 min)
	.packaging/release check $(VERSION)

##@ Parts
deps: run-deps test-deps node_modules/.package-lock.json ## install every apt package and the browser's files

run-deps: ## what running needs: libvirt, QEMU, the demo guest's kernel
	@.ci/deps install run

test-deps: ## what testing needs besides: chromium, a private sshd, validators
	@.ci/deps install test

generate: ## write *_templ.go from *.templ
	$(GO) tool templ generate

static: $(BROWSER) ## put the browser's files into static/vendor

node_modules/.package-lock.json: package.json package-lock.json .npmrc
	@.ci/deps install npm
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

$(BROWSER): node_modules/.package-lock.json $(wildcard static/icons.txt) .ci/vendor $(wildcard static/sprite/*.go)
	.ci/vendor
	@touch $@

demo: ## put the demo guest's kernel and initrd where this machine's guests can boot it
	@.ci/host demo $(DEMO)

debian-image: $(DEBIAN) ## a Debian disk image with cloud-init, made of this machine's package sources (3 to 10 min)

$(DEBIAN): .ci/debian-image
	@.ci/deps install image
	.ci/deps as-root .ci/debian-image $@
	-@.ci/deps as-root virsh -q -c qemu:///system pool-refresh default >/dev/null 2>&1 </dev/null

clean: ## remove what was built and fetched; data and installed packages stay
	rm -rf novacron node_modules cover.out dist
	find static/vendor -mindepth 1 ! -name .keep -delete

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z][a-z-]*:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

.PHONY: run build lab test check gosec cover bench chaos fuzz contract xml-roundtrip deps run-deps test-deps generate static demo debian-image cloud-test clean help release release-check
