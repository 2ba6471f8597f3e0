# The commands of the README, and what stands behind them.  `make help` lists them.
# Everything but a result goes to standard error.

BUNDLE ?= bundles/demo.yaml
OUT ?= dist
KEY ?= keys/demo.pem
ROOT ?=
PYTHON ?= python3
TESTS ?= tests
FUZZ_SECONDS ?= 60

export BUNDLE OUT KEY ROOT
MAKEFLAGS += --no-print-directory
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Debian packages, and a command or file of each that shows that it is there.
BUILD_TOOLS := skopeo:skopeo buildah:buildah mmdebstrap:mmdebstrap uidmap:newuidmap netavark:/usr/lib/podman/netavark jq:jq openssl:openssl \
    debian-archive-keyring:/usr/share/keyrings/debian-archive-keyring.gpg ca-certificates:/etc/ssl/certs/ca-certificates.crt \
    python3-venv:venv
TEST_TOOLS := docker-registry:docker-registry apt-utils:apt-ftparchive gpg:gpg gpg-agent:gpg-agent shellcheck:shellcheck apache2-utils:htpasswd \
    systemd-container:systemd-nspawn tcpdump:tcpdump iproute2:ip swtpm:swtpm softhsm2:softhsm2-util opensc:pkcs11-tool busybox:busybox
# Large, and of use to a few tests alone.
MORE_TOOLS := chromium:chromium qemu-system-x86:qemu-system-x86_64

.PHONY: help
help: ## Show this text
	@echo 'make TARGET [BUNDLE=bundles/x.yaml] [OUT=dir] [KEY=key.pem] [ROOT=root.json|chain-directory]'
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 16

.PHONY: bundle
bundle: .venv/ready docs ## Build and sign a bundle; the last line is its directory
	@./bundles/build.sh

.PHONY: docs
docs: .venv/ready ## Make the manual, which bundles carry: bundles/manual/index.html
	@.venv/bin/python docs/build.py bundles/manual >&2

.PHONY: lock
lock: .venv/ready docs ## Resolve what has changed in BUNDLE, and write its lock
	@.venv/bin/python bundles/tiny-chat/make.py bundles/tiny-chat/model >&2
	@.venv/bin/appliance lock "$$BUNDLE"

.PHONY: test
test: .venv/ready test-tools ## Run the tests that this machine can run, except the longest
	@.venv/bin/python -m pytest --numprocesses 2 --dist loadgroup $(TESTS)

.PHONY: site-test
site-test: .venv/ready test-tools ## Run only the tests of the real offline site, the long ones too
	@.venv/bin/python -m pytest -m 'long or not long' tests/site

.PHONY: demo
demo: root .venv/ready test-tools ## Show the whole path on a local site, which stays up until Ctrl-C
	@.venv/bin/python -m tests.site.demo

.PHONY: root
root:
	@[ "$$(id -u)" -eq 0 ] || { \
	    printf 'error: this needs root: it boots hosts in namespaces of their own\n  do: sudo make demo\n' >&2; exit 2; }

.PHONY: coverage
coverage: .venv/ready ## Check that unit tests cover the code that trust depends on
	@.venv/bin/python -m pytest --numprocesses 2 --dist loadgroup --quiet --cov=appliance/trust --cov=appliance/store --cov=appliance/model \
	    --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=95 tests/unit

.PHONY: fuzz
fuzz: .venv/ready ## Fuzz each parser for FUZZ_SECONDS=60
	@.venv/bin/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

.PHONY: lint
lint: .venv/ready ## Check style and types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

.PHONY: format
format: .venv/ready ## Format the code
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

.PHONY: bench
bench: .venv/ready ## Measure build, verification and import against other tools, and the gateway against a socket, as ratios
	@.venv/bin/python -m tests.bench
	@.venv/bin/python -m tests.bench.gateway

.PHONY: schemas
schemas: .venv/ready ## Write the JSON Schemas in docs/schemas after a type has changed
	@.venv/bin/python -m tests.support.schemas

.PHONY: controls
controls: .venv/ready ## Write docs/controls.md after appliance/controls.yaml has changed
	@.venv/bin/python -m tests.support.controls

.PHONY: dashboards
dashboards: .venv/ready ## Write the Grafana dashboards of role monitoring after tests/dashboards has changed
	@.venv/bin/python -m tests.dashboards

.PHONY: requirements
requirements: .venv/ready ## Lock the newest versions of our own dependencies
	@.venv/bin/uv pip compile pyproject.toml --extra hsm --extra attestations --group dev --universal --python-version 3.11 --generate-hashes \
	    --no-config --no-annotate --no-header --quiet --upgrade --output-file requirements.txt

.PHONY: clean
clean: ## Remove the environment and built bundles; keys and the cache stay
	@rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache

# Dependencies are pinned by hash; our own code is linked in, so that changes show at once.
.venv/ready: requirements.txt pyproject.toml ansible/pyproject.toml | build-tools
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --require-hashes --requirement requirements.txt >&2
	@.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable . --editable ansible >&2
	@.venv/bin/python -m compileall -q appliance ansible/appliance_site  # each start would, where PYTHONDONTWRITEBYTECODE is set
	@touch .venv/ready

.PHONY: more-tools
more-tools: ## Install a browser and an emulator, without which a few tests skip
	@./bundles/tools.sh $(MORE_TOOLS)

.PHONY: build-tools test-tools
build-tools:
	@./bundles/tools.sh $(BUILD_TOOLS)
test-tools:
	@./bundles/tools.sh $(TEST_TOOLS)
