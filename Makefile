# Targets for people; `make help` lists them.
GO ?= go

.PHONY: help build demo test bench fuzz lint generate release testrelease clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ./watchword, without cgo
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o watchword ./server/cmd/watchword

demo: ## run the server and three services in this terminal
	$(GO) run ./server/cmd/watchword demo

test: ## install what is missing, then run every test, with the race detector
	./scripts/test

bench: ## measure, as ratios against ceilings of the same run; scripts/attack measures what an attack costs honest callers
	./scripts/bench

fuzz: ## run every fuzz target for FUZZTIME (default 20s) each
	./scripts/fuzz

lint: ## formatting, linters, dead code, generated files, builds for other platforms
	./scripts/lint

generate: ## make again what is generated and committed
	$(GO) generate ./... ./server/...

release: ## build everything that a release has into dist, from a clean work tree
	./scripts/release

testrelease: ## install what is missing, then build, install and run what is released
	./scripts/testrelease

clean: ## remove what was built
	rm -rf watchword dist server/interop/node_modules server/interop/.venv
