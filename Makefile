# reconsent. `make` lists what there is to do.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Tools are pinned in a module of their own, built once, and cached by go.
TOOL := go tool -modfile=tools/go.mod

ARGS ?=
# How long each fuzz test runs, and which benchmarks.
FUZZTIME ?= 10s
BENCH ?= .
BENCHFLAGS ?=

# Where a run leaves its log.
LOG := .test

step = @printf '\n\033[1m==> %s\033[0m\n' "$(1)"

.PHONY: help
help: ## Show this list
	@printf 'make TARGET, one of:\n\n'
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || grep -E '## ' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start everything with the sandbox bank; needs only Go (ARGS="--addr 127.0.0.1:9000")
	@go run ./cmd/reconsent dev $(ARGS)

.PHONY: setup
setup: ## Install what the tests need (C compiler, PostgreSQL, Chromium, Node.js); quick where it is there
	@scripts/setup.sh

.PHONY: test
test: ## Everything that CI checks: setup, format, vet, lint, generated files, tests
	$(call step,Set up)
	@$(MAKE) setup
	$(call step,Format)
	@$(MAKE) check-format
	$(call step,Vet)
	@go vet ./...
	$(call step,Lint)
	@$(MAKE) lint
	$(call step,Generated files)
	@$(MAKE) check-generated
	$(call step,Tests with the race detector)
	@$(MAKE) unit
	$(call step,Tests in a browser)
	@$(MAKE) test-browser

.PHONY: unit
unit: ## Only the tests, with the race detector; fails if one skips itself
	@mkdir -p $(LOG)
	@$(TOOL) gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg --jsonfile $(LOG)/tests.json -- -race -count=1 -timeout 30m ./...
	@scripts/no-skips.sh $(LOG)/tests.json

.PHONY: test-browser
test-browser: setup ## Only the tests in a browser: mail, the reconnect page, the bank, the result
	@scripts/test-browser.sh

.PHONY: check-format
check-format:
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then printf 'run gofmt -w on:\n%s\n' "$$unformatted" >&2; exit 1; fi

# One check a line; each prints the difference and fails where there is one.
.PHONY: check-generated
check-generated:
	@go mod tidy -diff

.PHONY: lint
lint: ## Run the linters
	@$(TOOL) golangci-lint run

.PHONY: test-chaos
test-chaos: setup ## Kill replicas in the middle of 20,000 consents' sweeps and mails (some minutes)
	@RECONSENT_CHAOS=1 go test -count=1 -timeout 15m -run '^TestChaos' -v ./cmd/reconsent

.PHONY: bench
bench: setup ## Run the benchmarks (BENCH=regexp, BENCHFLAGS=-count=6 for benchstat)
	@mkdir -p $(LOG)
	@go test -run '^$$' -bench '$(BENCH)' -benchmem $(BENCHFLAGS) ./... | tee $(LOG)/bench.txt

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME each (10s)
	@scripts/fuzz.sh $(FUZZTIME)
