# Every target says what it does: `make help`.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help bootstrap up down purge status template test test-all bench check lint format docs

DATA ?= $(CURDIR)/data
PORT ?= 8080
# Guests may go out where this machine has a default route; UPLINK=none keeps everything inside.
UPLINK ?= $(shell awk '$$2 == "00000000" && $$8 == "00000000" { found = 1 } END { print found ? "auto" : "none" }' /proc/net/route)
PILEUS := .venv/bin/pileus
PYTEST := .venv/bin/pytest

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@printf '\n  Variables: DATA=%s PORT=%s UPLINK=%s\n' '$(DATA)' '$(PORT)' '$(UPLINK)'

bootstrap:  ## Install Debian's packages and the Python environment, where they are missing
	@scripts/bootstrap run

up: bootstrap  ## Make, start or repair the cloud in DATA, up to a machine that answers
	@$(PILEUS) up --data '$(DATA)' --port $(PORT) --uplink $(UPLINK)

down:  ## Stop the cloud; `make up` brings it back
	@if [ -e '$(DATA)/cloud.json' ]; then $(PILEUS) down --data '$(DATA)'; else echo 'There is no cloud in $(DATA).'; fi

purge:  ## Stop the cloud and remove it for good
	@if [ -e '$(DATA)/cloud.json' ]; then $(PILEUS) purge --data '$(DATA)'; else echo 'There is no cloud in $(DATA).'; fi

status:  ## Say how the cloud is
	@$(PILEUS) status --data '$(DATA)'

test:  ## Run all tests but the slow ones: with simulated hosts side by side, then those that need root and guests
	@scripts/bootstrap run test
	@code=0; \
	$(PYTEST) -q -n 2 --dist loadfile -m 'not slow and not root and not e2e' || code=1; \
	$(PYTEST) -q -m '(root or e2e) and not slow' || code=1; \
	exit $$code

test-all:  ## Run every test
	@scripts/bootstrap run test
	@code=0; \
	$(PYTEST) -q -n 2 --dist loadfile -m 'not root and not e2e' || code=1; \
	$(PYTEST) -q -m 'root or e2e' || code=1; \
	exit $$code

bench:  ## Print the figures that the project promises, beside their bars
	@scripts/bootstrap run test
	@code=0; for script in bench/[!_]*.py; do echo "== $$script"; .venv/bin/python "$$script" || code=1; done; exit $$code

check: bootstrap  ## Check style, types and the rules between modules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright
	.venv/bin/lint-imports

lint: check  ## The same as check

format:  ## Format the code
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

docs: bootstrap  ## Write the generated reference into docs/reference
	.venv/bin/python scripts/reference.py docs/reference
	.venv/bin/python scripts/build-api-reference
