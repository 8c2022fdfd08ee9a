# Everything a change has to pass is in `make check`; .ci/run runs the same.

GO ?= go

# The modules of this repository are those of its workspace, whatever a user's environment says. "work" is the
# go command's name for all their packages.
export GOWORK := $(CURDIR)/go.work
export GOFLAGS := $(filter-out -mod=% -modfile=%,$(shell $(GO) env GOFLAGS)) -mod=readonly
# Runs a command in each module, without the workspace.
MODULES := scripts/modules.sh

# Tools are run at a fixed version and are in no go.mod, so that they stay out of users' go.sum.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# How long one package's tests may take before they are a hang.
TEST_TIMEOUT ?= 25m
# What to test and with which further flags: make test PKG=./driver/redis/... TESTFLAGS='-run Retry -v'
PKG ?= work
TESTFLAGS ?=
BENCH ?= .

# Where `make test` leaves what the conformance runs have shown.
RECORDS := .conformance

# The steps of `make check`, in order of how soon they fail. The budgets need the brokers too, and half a minute when
# the tests have made the images.
CHECKS := fmt tidy vet staticcheck examples bench-build vuln fuzz test allocs captable

.DEFAULT_GOAL := help
.PHONY: help check engine images sweep bench performance performance-page performance-build telemetry telemetry-build screenshots soak reliability moves capabilities release $(CHECKS)

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: ## all that a change has to pass, with the time of each step
	@MAKE='$(MAKE)' scripts/steps.sh $(CHECKS)

test: ## tests under the race detector, against real brokers; prints which
	@RECORDS='$(RECORDS)' scripts/test.sh -timeout $(TEST_TIMEOUT) $(TESTFLAGS) $(PKG)

captable: ## fail when the capability tables are not what the last test run has shown
	@$(GO) run ./internal/captable -in $(RECORDS) -check

capabilities: ## run the conformance suite on every driver, and write the capability tables
	@RECORDS='$(RECORDS)' scripts/test.sh -count=1 -timeout $(TEST_TIMEOUT) -run '^Test(Conformance.*|Memory)$$' github.com/batch-go/batch/driver/... ./conformance
	@$(GO) run ./internal/captable -in $(RECORDS) -write

fmt: ## fail when a file is not formatted
	@files="$$(gofmt -l .)"; [ -z "$$files" ] || { echo "gofmt would change:"; echo "$$files"; exit 1; }

tidy: ## fail when a go.mod or go.sum is not what its module needs
	@$(MODULES) $(GO) mod tidy -diff

vet: ## go vet, in every module
	@$(MODULES) $(GO) vet ./...

# All modules at once: what they share, which is most of it, is analysed once. Each by itself is loaded by vet.
staticcheck: ## staticcheck, of every module
	@$(GO) run $(STATICCHECK) work

vuln: ## govulncheck, in every module
	@scripts/vuln.sh $(GOVULNCHECK)

examples: ## build every example, and run the quickstart
	@$(GO) build -o /dev/null ./examples/...
	@timeout 120 $(GO) run ./examples/quickstart

allocs: ## the budgets that the race detector would upset, of allocations most of all: make allocs TESTFLAGS=-v
	@scripts/allocs.sh $(TESTFLAGS)

# The short form, of 110 s in all. Ten minutes for each target: make fuzz FUZZTIME=10m
fuzz: ## fuzz what reads bytes that others wrote; FUZZTIME is for each target, FUZZ names some
	@scripts/fuzz.sh $(FUZZ)

bench-build: ## build the benchmarks
	@$(GO) test -run '^$$' ./bench/...

bench: engine images ## run the benchmarks, beside the raw clients: make bench BENCH=RabbitMQ
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem work

# The comparison with other libraries: make performance BROKER=redis WORKLOAD=enqueue-1,process PEER=batch,asynq
# ROUNDS=5, or QUICK=1 for the short form; bench/performance/doc.go has the names. Its module is in no workspace: its
# peers would decide with which versions of the clients everything else is tested, and they take minutes to compile.
WORKLOAD ?=
PEER ?=
ROUNDS ?= 0
QUICK ?=
BACKLOG ?= 0
PERFORMANCE := GOWORK=off $(GO) test -C bench/performance -v -count=1 -timeout 24h .

performance: engine images ## compare with other libraries, and write docs/performance.md: make performance BROKER=redis QUICK=1
	@$(PERFORMANCE) -run '^TestPerformance$$' -performance.run -performance.broker='$(BROKER)' -performance.workload='$(WORKLOAD)' \
		-performance.peer='$(PEER)' -performance.rounds=$(ROUNDS) -performance.backlog=$(BACKLOG) $(if $(QUICK),-performance.quick)

performance-page: ## write docs/performance.md again from its results, after a change of how it looks
	@$(PERFORMANCE) -run '^TestPage$$' -performance.page

performance-build: ## vet the comparison, and check that its page is of its results
	@GOWORK=off $(GO) vet -C bench/performance ./...
	@GOWORK=off $(GO) test -C bench/performance -count=1 ./...

# Package otelbatch against a real OpenTelemetry Collector, on each broker. Its module is in no workspace either: the
# Collector takes minutes to compile.
telemetry: engine images ## send spans and metrics to a real OpenTelemetry Collector, on each broker, and read them back
	@GOWORK=off $(GO) test -C otelbatch/collector -count=1 ./...

telemetry-build: ## vet that test
	@GOWORK=off $(GO) vet -C otelbatch/collector ./...

# The browser's tests tell the story of docs/dash-tour.md, and take its pictures when they are told where to put them.
screenshots: engine ## take the pictures of docs/dash-tour.md anew, which takes three minutes
	@$(GO) test -C dash/browser -count=1 -v -run '^TestTour$$' . -screenshots '$(CURDIR)/docs/dash-tour'

# How long and on what: make soak BROKER=redis-8 FOR=20m SEED=7; make reliability BROKER=nats-2 FAULT=cut
BROKER ?=
FAULT ?=
FOR ?= 20m
SEED ?= 0
SOAK := $(GO) test -C internal/soak -v -count=1 -timeout 24h . -soak.broker='$(BROKER)'
# What that needs: all images, or an engine for the one broker, whose image the test sees to, or nothing.
SOAK_NEEDS := $(if $(BROKER),$(if $(filter-out embedded,$(BROKER)),engine),engine images)

soak: $(SOAK_NEEDS) ## a long load with random faults: make soak BROKER=redis-8 FOR=20m
	@$(SOAK) -run '^TestSoak$$' -soak.for=$(FOR) -soak.seed=$(SEED)

reliability: $(SOAK_NEEDS) ## each fault by itself on each broker, and write docs/reliability.md: make reliability BROKER=nats-2 FAULT=cut
	@$(SOAK) -run '^TestReliability$$' -soak.table -soak.fault='$(FAULT)'

moves: engine images ## move queues between all brokers, with movers that are killed, for the table in docs/reliability.md
	@$(GO) test -C internal/soak -v -count=1 -timeout 12h ./movers -movers.all -movers.parallel=5 -movers.jobs=6000 -movers.kills=3 -movers.transactions=1000 -movers.relaykills=20 -movers.seed=$(SEED)

engine: ## make sure that a Docker engine answers
	@scripts/docker-engine.sh

images: engine ## make sure that the brokers' images are there
	@scripts/broker-images.sh

sweep: ## remove the test brokers that killed runs left behind
	@GOWORK=off $(GO) run -C internal/brokers/launcher . -sweep

release: ## commit and tag a release of all modules: make release VERSION=v0.1.0
	@scripts/release.sh $(VERSION)
