# Everything a person needs: `make demo` and `make test`. Both install what
# they need and say what they are doing.
#
#   make demo    build, start everything embedded, open a live dashboard
#   make test    all tests: Rust, SQL, real clients, Kafka's tools, the
#                flights job under kill -9, faults by seed, a real browser
#   make check   the fast loop: format, clippy, layering, unit tests
#   make bench   side by side with Apache Kafka (QUICK=1 for a short look)
#   make soak    200 rounds of faults, crash points by the 100,000, flights
#                under kill -9 again and again (ROUNDS, SEED: scripts/soak.sh)
#   make fuzz    the fuzz targets, longer than `make test` runs them
#   make differential    the same random requests to Apache Kafka and to us
#   make audit   known faults of what we depend on (needs the network)
#   make notices the licence texts of what we depend on, written anew

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
DEBUG_BIN := $(TARGET_DIR)/debug/millstream
RELEASE_BIN := $(TARGET_DIR)/release/millstream
WEB_SOURCES := $(shell find web/src web/public web/index.html web/package.json web/package-lock.json web/vite.config.ts -type f 2>/dev/null)

.PHONY: demo test check bench soak fuzz differential audit notices web build release clean help

help:
	@sed -n 's/^#   //p' Makefile

# ---------------------------------------------------------------- building

web: web/dist/index.html

web/node_modules/.installed: web/package.json web/package-lock.json
	@scripts/need.sh node npm
	@echo "==> web: installing packages"
	@cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

web/dist/index.html: web/node_modules/.installed $(WEB_SOURCES)
	@echo "==> web: building the console"
	@cd web && npm run --silent build
	@touch $@

build: web
	@scripts/need.sh cargo cc make
	@echo "==> building (debug)"
	@. scripts/clippy-build.sh && $(CARGO) build --locked -p millstream

release: web
	@scripts/need.sh cargo cc make
	@echo "==> building (release): the first build compiles some 350 crates, later ones take seconds"
	@$(CARGO) build --locked --release -p millstream

# ---------------------------------------------------------------- running

demo: release
	@$(RELEASE_BIN) demo $(DEMO_FLAGS)

# ---------------------------------------------------------------- testing

check:
	@scripts/need.sh cargo
	@$(CARGO) fmt --all --check
	@. scripts/clippy-build.sh && $(CARGO) test --locked --workspace --lib --bins --test layering

test:
	@scripts/test.sh

bench: release
	@MILLSTREAM_BIN=$(RELEASE_BIN) QUICK=$(QUICK) benches/run.sh

soak: build
	@MILLSTREAM_BIN=$(DEBUG_BIN) scripts/soak.sh

differential: build
	@MILLSTREAM_BIN=$(DEBUG_BIN) tests/differential/run.sh

audit:
	@scripts/check-licences.sh advisories

notices:
	@scripts/notices.sh

fuzz:
	@scripts/need.sh cargo
	@scripts/fuzz.sh

clean:
	rm -rf target web/dist web/node_modules tests/.venv tests/output
