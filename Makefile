# Every target works on a fresh checkout: `setup` installs what is missing, and nothing the second time.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin

.PHONY: help setup verify test kernels vm-box vm-test bench fuzz faults lint lock wheel wheelhouse deb clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## install what is missing: system packages (as root), then .venv
	@PYTHON='$(PYTHON)' bash .ci/setup.sh

verify: setup ## send packets through the kernel: the order, then the example; reports: REPORTS=DIR
	$(BIN)/netfw verify $(if $(REPORTS),--json $(REPORTS)/order.json --junit $(REPORTS)/order.xml)
	$(BIN)/netfw verify $(if $(REPORTS),--json $(REPORTS)/router.json --junit $(REPORTS)/router.xml) \
	  netfw/examples/router.yaml

test: ## run all tests; for some of them: make test ARGS='-m "not kernel" tests/unit'
	@PYTHON='$(PYTHON)' bash .ci/setup.sh tests
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

kernels: ## boot stock kernels, verify and test in each: make kernels ARGS='--kernel 6.1 --iptables own'
	@PYTHON='$(PYTHON)' bash .ci/setup.sh kernels
	$(BIN)/python -m tests.vm $(ARGS)

vm-box: ## build a Vagrant box from packages of the distribution
	@PYTHON='$(PYTHON)' bash .ci/setup.sh vagrant
	$(BIN)/python -m tests.vm.box

vm-test: ## vagrant up from nothing, verify and test inside, vagrant destroy
	@PYTHON='$(PYTHON)' bash .ci/setup.sh vagrant
	$(BIN)/python -m tests.vm.vagrant $(ARGS)

bench: setup ## measure compile (beside ferm and Aerleon), prove, walk, load, forward and change
	$(BIN)/python -m tests.bench $(ARGS)

fuzz: setup ## send random packets through random rules and the model: make fuzz MINUTES=5
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),5) $(ARGS)

faults: ## put faults into changes of hosts: make faults ARGS='--backend nft --every 4'
	@PYTHON='$(PYTHON)' bash .ci/setup.sh tests
	$(BIN)/python -m tests.faults $(ARGS)

# tests/test_tree.py runs each of these lines as a test.
lint: setup ## run ruff, mypy, import-linter, codespell, ansible-lint, vagrant validate and schemas
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	env ANSIBLE_COLLECTIONS_PATH=tests/fleet/collections $(BIN)/ansible-lint -q --offline --config-file playbooks/.ansible-lint --project-dir playbooks playbooks
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/python -m tests.vm.lint

lock: ## write requirements.lock from pyproject.toml; for newer versions: make lock ARGS=--upgrade
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(PYTHON) -m venv "$$scratch" && \
	"$$scratch/bin/pip" install --quiet uv==$(UV_VERSION) && \
	"$$scratch/bin/uv" pip compile --quiet --no-config --universal --python-version 3.11 --group dev \
	  --generate-hashes --no-header --no-emit-index-url --no-emit-find-links $(ARGS) \
	  --output-file requirements.lock pyproject.toml

wheel: setup ## write netfw's wheel and source distribution into dist/, without a network
	$(BIN)/python .packaging/wheel.py

wheelhouse: setup ## fill dist/wheelhouse/, from which pip installs netfw without a network
	$(BIN)/python .packaging/wheelhouse.py

deb: ## write a package for this Debian or Ubuntu into dist/
	@PYTHON='$(PYTHON)' bash .ci/setup.sh deb
	$(BIN)/python .packaging/deb.py

clean: ## remove everything that is not in git: .venv, caches, build and test output
	rm -rf .venv build dist *.egg-info .*_cache .hypothesis tests/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
