# `make help` names the targets. Rust comes from rust-toolchain.toml; the rest is checked below, each in one line.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BROKERS ?=
DATA ?=
MINUTES ?= 20
INPUTS ?= 10000
SEED ?=
FAULT ?=
ROUNDS ?= 3
WORKLOAD ?=
DENY_VERSION := 0.20.2
DENY := .runtime/deny-$(DENY_VERSION)/bin/cargo-deny
SBOM_VERSION := 0.5.9
SBOM := .runtime/sbom-$(SBOM_VERSION)/bin/cargo-cyclonedx
# Seconds for each target of `make fuzz`, and the targets.
SECONDS := 60
TARGET := $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))

PIPELINES := $(wildcard pipelines/*/)
# `make test-kube ONLY=chart`
ONLY ?=

# Building OpenSSL takes nine minutes of a core. What is only tested here takes the machine's where that can be linked statically
# too (libssl-dev, pkg-config); releases build their own.
HAS_OPENSSL := $(shell pkg-config --atleast-version=3 openssl 2>/dev/null && test -e "$$(pkg-config --variable=libdir openssl)/libssl.a" && echo 1)
ifdef HAS_OPENSSL
test test-data test-figures chaos soak lint: export OPENSSL_NO_VENDOR := 1
test test-data test-figures chaos soak lint: export OPENSSL_STATIC := 1
endif

# $(call need,COMMAND,WHAT,PACKAGES): stops with one line where COMMAND fails.
need = @{ $(1); } >/dev/null 2>&1 || { echo "make $@: $(2); on Debian or Ubuntu: apt-get install $(3)" >&2; exit 1; }

need_data = @[ -d '$(DATA)' ] || { echo "make $@: DATA='$(DATA)' is not a folder; give the data sets with DATA=DIR" >&2; exit 1; }

.PHONY: help demo test test-data test-figures chaos soak fuzz lint deny advisories sbom runtime servers collector bench check-pipelines helm test-kube test-image ci tools

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

demo: tools runtime ## run the samples of all pipelines, BROKERS=host:port for a real cluster
	@cargo build --locked --release
	@cargo run --locked --release --quiet -- demo $(if $(BROKERS),--brokers '$(BROKERS)')

test: tools runtime servers collector ## every test that needs the clone only, on a real broker and registry too
	cargo test --locked --features failpoints

test-data: tools runtime servers ## the tests on the large data sets, DATA=DIR
	$(need_data)
	SLUICE_DATA="$$(cd '$(DATA)' && pwd)" cargo test --locked --features failpoints --test it data:: -- --ignored --skip data::figures

test-figures: tools runtime ## the figures of the model cards on whole splits, ten minutes: after a change of model, decoder or text, DATA=DIR
	$(need_data)
	SLUICE_DATA="$$(cd '$(DATA)' && pwd)" cargo test --locked --features failpoints --test it data::figures -- --ignored

# With the dev binary of `make test`: it has the points at which faults are planted, its assertions are on, and what takes the
# time (the model, the tokenizer, reading PDF) is optimised in it too.
chaos: tools runtime servers ## faults on three real brokers, MINUTES=20 INPUTS=10000 SEED=chance FAULT=all
	SLUICE_CHAOS_MINUTES='$(MINUTES)' SLUICE_CHAOS_INPUTS='$(INPUTS)' SLUICE_CHAOS_SEED='$(SEED)' SLUICE_CHAOS_FAULT='$(FAULT)' \
		cargo test --locked --features failpoints --test it chaos::long -- --ignored --nocapture
# With the release binary: memory is judged by what is shipped.
soak: tools runtime servers ## full load for MINUTES=20: peak of memory, its bound and its slope, which is judged from 110 minutes on
	SLUICE_SOAK_MINUTES=$(MINUTES) cargo test --locked --release --features failpoints --test it \
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

advisories: $(DENY) ## known faults of dependencies; not in CI, since it fetches the RustSec database by git: run it weekly where that can be reached
	$(DENY) --locked check advisories

sbom: $(SBOM) ## bill of materials (CycloneDX) from the lock file, to target/sluice.cdx.json
	$(SBOM) cyclonedx --quiet --format json --all-features --target all --override-filename sluice.cdx
	@mkdir -p target && mv sluice.cdx.json target/sluice.cdx.json

# Unoptimised: it builds in a third of the time and the check takes a second all the same.
$(DENY): | tools
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root $(DENY:/bin/cargo-deny=) cargo-deny --version $(DENY_VERSION)

$(SBOM): | tools
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root $(SBOM:/bin/cargo-cyclonedx=) cargo-cyclonedx --version $(SBOM_VERSION)

runtime: ## fetch ONNX Runtime and PDFium into .runtime/lib, once
	$(call need,python3 -m pip --version,python3 with pip is missing,python3-pip)
	@scripts/fetch-runtime

servers: ## fetch Apache Kafka and Apicurio Registry for the tests into .runtime/servers, once
	$(call need,"$${JAVA_HOME:+$$JAVA_HOME/bin/}java" --version | grep -E '^(java|openjdk) (1[7-9]|[2-9][0-9])',java 17 or newer is missing,openjdk-17-jre-headless)
	$(call need,mvn --version,mvn is missing,maven)
	@scripts/fetch-servers

collector: ## build the OpenTelemetry Collector for the tests into .runtime, once
	$(call need,go version,go 1.26 or newer is missing,golang)
	@scripts/build-collector

bench: tools runtime servers ## the table of benches/README.md, DATA=DIR ROUNDS=3 WORKLOAD=all, and the rooms alone
	$(need_data)
	benches/peers/install
	cargo bench --locked --bench table -- "$$(cd '$(DATA)' && pwd)" --rounds $(ROUNDS) $(if $(WORKLOAD),--only '$(WORKLOAD)') --peers --latency
	cargo bench --locked --bench rooms

check-pipelines: tools runtime ## sluice check and sluice test on every folder of pipelines/
	@cargo build --locked --release
	@for verb in check test; do cargo run --locked --release --quiet -- $$verb pipelines/*/; done

helm: ## copy pipeline.yaml and schemas of PIPELINES=folders into the chart
	@scripts/helm-pipelines $(PIPELINES)

test-kube: helm ## the chart by helm, kube-apiserver and kubeconform, built once (twenty minutes); ONLY=chart by helm alone
	$(call need,go version,go 1.26 or newer is missing,golang)
	@scripts/test-kube $(ONLY)

test-image: tools ## the files of the image, started in a root directory of their own; lints the Dockerfile
	@cargo build --locked --release --bin sluice
	@scripts/image-rootfs test target/release/sluice
	@scripts/lint-dockerfile

ci: ## what CI runs
	.ci/run

tools:
	@cargo --version >/dev/null 2>&1 || { echo "make: cargo is missing; install Rust with rustup, the version is in rust-toolchain.toml" >&2; exit 1; }
	$(call need,cc --version,a C compiler is missing (librdkafka is built from source),build-essential)
	$(call need,perl -MFindBin -MIPC::Cmd -e 1,perl with its modules is missing (OpenSSL is built from source),perl)
