# Everything here needs Go and make alone: the other tools are pinned in tools/NAME.mod, one modfile each,
# and built into bin/ when a target first asks for them.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Packages that test, race and fuzz look at, and how long.
PKGS ?= ./...
COUNT ?= 3
FUZZTIME ?= 30s
# Further arguments of bench and demo, as in: make bench ARGS='-only idle'
ARGS ?=

VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The race detector needs cgo, which Go turns off by itself where there is no C compiler.
RACE = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

PLUGINS := bin/protoc-gen-go bin/protoc-gen-go-grpc

.PHONY: help
help: ## Say what each target does
	@awk -F ':.*## ' '/^##@/ {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ The product

.PHONY: build
build: ## Build bin/sluice, static and stamped with its version
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/sluice ./cmd/sluice

.PHONY: demo
demo: build ## Watch a stream pause and resume before a slow output, and see that nothing is lost
	@go run ./tools/demo $(ARGS)

##@ Tests

.PHONY: test
test: bin/gotestsum bin/moto_server ## Run all tests, under the race detector where there is a C compiler; ends with a count
	@$(if $(RACE),,echo 'no C compiler: testing without the race detector')
	@bin/gotestsum --format pkgname --hide-summary=skipped --post-run-command tools/count.sh -- $(RACE) $(PKGS)

.PHONY: race
race: ## Hunt for races and flakes: every test COUNT times in shuffled order
	go test -race -shuffle on -count $(COUNT) $(PKGS)

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) tools/fuzz.sh $(PKGS)

.PHONY: bench
bench: build ## Measure against the bare gRPC baseline of the same run
	@go run ./bench $(ARGS)

.PHONY: bench-cloudwatch
bench-cloudwatch: build ## Measure the CloudWatch output against a loop through the plain SDK
	@go run ./bench -only cloudwatch $(ARGS)

.PHONY: bench-disk
bench-disk: build ## Measure the disk buffer against a bare write and sync, and against JetStream
	@go run ./bench -only disk $(ARGS)

.PHONY: load
load: build bin/ghz ## Send 20,000 unary calls at a fresh gateway; all must be OK
	@tools/load.sh

.PHONY: soak
soak: build ## Kill gateways KILLS=n times each, then run others under random faults: HOURS=n or MINUTES=n, PARALLEL=m at a time
	@go run ./tools/crash $(if $(KILLS),-kills $(KILLS))
	@go run ./tools/soak $(if $(HOURS),-hours $(HOURS)) $(if $(MINUTES),-minutes $(MINUTES)) $(if $(PARALLEL),-parallel $(PARALLEL)) $(ARGS)

##@ Checks

.PHONY: check
check: check-go check-modules check-generated lint ## Check all that CI checks, but for the tests

.PHONY: check-go
check-go:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted, run make format:" $$files; exit 1; }
	go vet ./...

.PHONY: check-modules
check-modules:
	go mod tidy -diff
	go mod verify

.PHONY: check-generated
check-generated: bin/buf $(PLUGINS)
	@tools/stale.sh

.PHONY: lint
lint: bin/golangci-lint bin/buf ## Lint the code and the schema, and refuse breaking changes of the schema
	bin/golangci-lint run ./...
	bin/buf lint
	@tools/breaking.sh

.PHONY: format
format: bin/golangci-lint bin/buf ## Format the code and the schema
	bin/golangci-lint fmt
	bin/buf format --write

.PHONY: generate
generate: bin/buf $(PLUGINS) ## Generate the code of the schema
	bin/buf generate

##@ Tools

.PHONY: tools
tools: $(patsubst tools/%.mod,bin/%,$(wildcard tools/*.mod)) ## Build every pinned tool into bin/

bin/moto_server: tools/moto.sh
	@tools/moto.sh

# `tool` is Go's name for the tools that a modfile declares; each of ours declares one.
bin/%: tools/%.mod tools/%.sum
	@echo "building $@"
	@go build -modfile $< -o $@ tool
