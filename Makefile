# `make help` names the targets. Rust comes from rust-toolchain.toml; the rest is checked below, each in one line.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BROKERS ?=
DATA ?=
DENY_VERSION := 0.20.2
DENY := .runtime/deny-$(DENY_VERSION)/bin/cargo-deny
# Seconds for each target of `make fuzz`, and the targets.
SECONDS := 60
TARGET := $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))
MINUTES := 10

# $(call need,COMMAND,WHAT,PACKAGES): stops with one line where COMMAND fails.
need = @{ $(1); } >/dev/null 2>&1 || { echo "make $@: $(2); on Debian or Ubuntu: apt-get install $(3)" >&2; exit 1; }

.PHONY: help demo test test-data soak fuzz lint deny advisories runtime servers bench check-pipelines ci tools

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

demo: tools runtime ## run the samples of all pipelines, BROKERS=host:port for a real cluster
	@cargo build --locked --release
	@cargo run --locked --release --quiet -- demo $(if $(BROKERS),--brokers '$(BROKERS)')

test: tools runtime servers ## every test that needs the clone only, on a real broker and registry too
	cargo test --locked --features failpoints

test-data: tools runtime servers ## the tests on the large data sets, DATA=DIR
	@[ -d '$(DATA)' ] || { echo "make test-data: DATA='$(DATA)' is not a folder; give the data sets with DATA=DIR" >&2; exit 1; }
	SLUICE_DATA="$$(cd '$(DATA)' && pwd)" cargo test --locked --features test-data,failpoints --test it data::

soak: tools runtime servers ## full load for MINUTES=10: peak of memory, its bound and its slope, which is judged from 60 minutes on
	SLUICE_SOAK_MINUTES=$(MINUTES) cargo test --locked --features failpoints --test it \
		-- --exact soak::memory_at_full_load_stays_within_its_bound --nocapture

fuzz: tools ## fuzz by coverage for SECONDS=60 each target, or TARGET=name; finds go to target/fuzz/finds
	$(call need,c++ --version,a C++ compiler is missing (libFuzzer is built from source),build-essential)
	@scripts/fuzz $(SECONDS) $(TARGET)

lint: tools ## formatting, clippy, licences and origins of dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	@$(MAKE) --no-print-directory deny

deny: $(DENY) ## licences, origins and duplicates of dependencies, by deny.toml
	$(DENY) --locked check bans licenses sources

advisories: $(DENY) ## known faults of dependencies; needs the advisory database from the network
	$(DENY) --locked check advisories

# Unoptimised: it builds in a third of the time and the check takes a second all the same.
$(DENY): | tools
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root $(DENY:/bin/cargo-deny=) cargo-deny --version $(DENY_VERSION)

runtime: ## fetch ONNX Runtime and PDFium into .runtime/lib, once
	$(call need,python3 -m pip --version,python3 with pip is missing,python3-pip)
	@scripts/fetch-runtime

servers: ## fetch Apache Kafka and Apicurio Registry for the tests into .runtime/servers, once
	$(call need,"$${JAVA_HOME:+$$JAVA_HOME/bin/}java" --version | grep -E '^(java|openjdk) (1[7-9]|[2-9][0-9])',java 17 or newer is missing,openjdk-17-jre-headless)
	$(call need,mvn --version,mvn is missing,maven)
	@scripts/fetch-servers

bench: tools runtime ## the benchmarks of benches/
	cargo bench --locked

check-pipelines: tools runtime ## sluice check and sluice test on every folder of pipelines/
	@cargo build --locked --release
	@for verb in check test; do cargo run --locked --release --quiet -- $$verb pipelines/*/; done

ci: ## what CI runs
	.ci/run

tools:
	@cargo --version >/dev/null 2>&1 || { echo "make: cargo is missing; install Rust with rustup, the version is in rust-toolchain.toml" >&2; exit 1; }
	$(call need,cc --version,a C compiler is missing (librdkafka is built from source),build-essential)
