# `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

EDGE := .venv-edge/bin/python
TRAIN := .venv-train/bin/python
NOTEBOOK := .venv-notebook/bin/python
VIEWER := .venv-viewer/bin/python
EPOCHS ?= 5
export PYTHONUNBUFFERED := 1

# Free disk, in MB, that each environment and its download need.
DISK_edge := 1200
DISK_train := 6000
DISK_notebook := 6000
DISK_viewer := 1300

.PHONY: help
help: ## List these commands, in the order in which one comes to need them
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: .venv-edge/ready .venv-train/ready ## Train on Fashion-MNIST, export, and run the apps over a real Kafka
	run=$$($(TRAIN) -m training --epochs $(EPOCHS) | tee >(cat >&2) | tail -n 1) \
	&& $(TRAIN) -m export "$$run" -o model.onnx \
	&& $(EDGE) -m bench.demo --model model.onnx --images "$$run/predictions/test.npz" --count 1000 --interval 0.02

.PHONY: demo-edge
demo-edge: .venv-edge/ready ## The same with the shipped model, without TensorFlow
	$(EDGE) -m bench.demo

# Every app waits for the broker, which takes a while when it is started for the first time.
.PHONY: viewer
viewer: .venv-viewer/ready ## Start a Kafka, a classifier, somebody who asks, and the page that shows it all
	trap 'trap - EXIT; kill $$(jobs -p) 2>/dev/null || :; wait' EXIT; \
	export EDGE_BROKER_WAIT=300; \
	$(VIEWER) -m localkafka & \
	$(VIEWER) -m edge.classifier --model $(MODEL) & \
	$(VIEWER) -m edge.query --interval 0.5 --device camera-1 >/dev/null & \
	$(VIEWER) -m viewer --model $(MODEL)

.PHONY: test-viewer
test-viewer: .venv-viewer/ready ## The tests of the page, in a real Chromium
	$(VIEWER) -m pytest -n 2 --dist loadfile --require-kafka 1 tests/viewer

.PHONY: test
test: .venv-edge/ready .venv-train/ready ## Check and test everything, over a real Kafka
	$(MAKE) lint test-edge test-train

.PHONY: test-edge
test-edge: .venv-edge/ready ## The tests of what runs on a device: no TensorFlow here
	$(EDGE) -m pytest -n 2 --dist loadfile --require-kafka 120 \
	    tests/faults tests/system tests/localkafka tests/bench tests/edge tests/lint tests/examples/test_wire_format.py

.PHONY: test-train
test-train: .venv-train/ready ## The tests of training and export, and of the whole chain
	$(TRAIN) -m pytest -n 2 --dist loadfile --require-kafka 1 tests/training tests/export tests/chain

.PHONY: test-examples
test-examples: .venv-edge/ready ## The Go client against a real Kafka, and the wire format it was written from; needs Go
	$(EDGE) -m pytest --require-kafka 1 tests/examples/test_go.py tests/examples/test_wire_format.py

.PHONY: test-notebook
test-notebook: .venv-notebook/ready ## Execute the notebook, in an environment of its own
	$(NOTEBOOK) -m pytest --require-kafka 1 tests/examples/test_notebook.py

.PHONY: test-docs
test-docs: .venv-edge/ready .venv-train/ready .venv-viewer/ready ## Type the commands of all pages into fresh checkouts; needs Go for one page
	TRAIN="$(abspath $(TRAIN))" VIEWER="$(abspath $(VIEWER))" $(EDGE) -m pytest -v -n 2 --durations 0 --require-kafka 10 tests/docs

.PHONY: test-all
test-all: .venv-edge/ready .venv-train/ready ## All tests there are, for two hours; the verdicts go into docs/testing.md
	TRAIN="$(abspath $(TRAIN))" VIEWER="$(abspath $(VIEWER))" $(EDGE) -m tests.all

.PHONY: lint
lint: .venv-edge/ready ## ruff, mypy --strict, and no secret in the tree
	$(EDGE) -m ruff check
	$(EDGE) -m ruff format --check
	$(EDGE) -m mypy
	$(MAKE) --no-print-directory secrets

# What git tracks or would add. detect-secrets passes over locked private keys, and keys in files that are not text:
# hence grep. What it flags wrongly gets `# pragma: allowlist secret` on its line.
.PHONY: secrets
secrets: ## No secret and no private key in what git tracks or would add
	@if [ ! -e .git ]; then echo "make: this is no git checkout: it is not searched for secrets" >&2; exit 0; fi; \
	git ls-files >/dev/null || { echo "make: git cannot list this tree: it was not searched for secrets" >&2; exit 1; }; \
	files() { git ls-files -z --cached --others --exclude-standard; }; \
	keys=$$(files | xargs -0 grep --text --no-messages --files-with-matches \
	    -e '-----BEGIN [A-Z0-9 ]*PRIVATE KEY' || true); \
	if [ -n "$$keys" ]; then echo "make: a private key is in the tree: $$keys" >&2; exit 1; fi; \
	if ! files | xargs -0 $(EDGE) -m detect_secrets.pre_commit_hook --no-verify \
	    --exclude-files '^(locks/|(samples|docs/results)/.*[.]json$$)'; \
	then echo "make: a secret is in the tree: take it out, and change it if it was ever real" >&2; exit 1; fi

.PHONY: format
format: .venv-edge/ready ## Format the code
	$(EDGE) -m ruff check --fix
	$(EDGE) -m ruff format

.PHONY: faults
faults: .venv-edge/ready ## Kill, stop and cut for half an hour; the verdict goes into docs/reliability.md
	$(EDGE) -m tests.faults.campaign

# Where `make bench` puts what it measured, and what docs/performance.md and README.md are made of.
RESULTS := docs/results

.PHONY: bench
bench: .venv-edge/ready ## Measure everything again, in an hour; tables and figures go into docs/ and README.md
	mkdir -p $(RESULTS)
	$(EDGE) -m bench.peers --output $(RESULTS)/peers.json
	for client in kafka-python confluent; do \
	    [ $$client = kafka-python ] && suffix= || suffix=-$$client; \
	    $(EDGE) -m bench.latency --client $$client --duration 70 --output $(RESULTS)/latency$$suffix.json; \
	    $(EDGE) -m bench.throughput --client $$client --output $(RESULTS)/throughput$$suffix.json; \
	    $(EDGE) -m bench.startup --client $$client --output $(RESULTS)/startup$$suffix.json; \
	    $(EDGE) -m bench.plan $(RESULTS)/throughput$$suffix.json --output $(RESULTS)/plan$$suffix.json; \
	done
	for scenario in single-stream server; do \
	    $(EDGE) -m bench.latency --scenario $$scenario --output $(RESULTS)/latency-$$scenario.json; \
	done
	for over in rate batch partitions payload; do \
	    $(EDGE) -m bench.scaling --over $$over --output $(RESULTS)/scaling-$$over.json; \
	done
	$(MAKE) report

.PHONY: report
report: .venv-edge/ready ## Write the tables and figures of what was measured, without measuring
	$(EDGE) -m bench.report $(RESULTS)/*.json -o report.html --png docs/figures --markdown docs/performance.md
	$(EDGE) -m bench.report $(RESULTS)/peers.json -o report.html --markdown README.md

.PHONY: samples
samples: .venv-train/ready ## Make samples/ again: train, export, select images
	run=$$($(TRAIN) -m training --epochs 30 --seed 0 | tail -n 1) \
	&& $(TRAIN) -m export "$$run" -o samples/lenet.onnx \
	&& $(TRAIN) samples/select_images.py "$$run" samples/fashion_mnist_test_200.npz 200
	run=$$($(TRAIN) -m training --architecture smallcnn --seed 0 | tail -n 1) \
	&& $(TRAIN) -m export "$$run" -o samples/smallcnn.onnx

.PHONY: locks
locks: .venv-edge/ready ## Resolve the requirements again, with hashes, for all supported Pythons
	for target in "edge requirements-edge.txt" "dev requirements-dev.txt" \
	              "train requirements-train.txt requirements-dev.txt" \
	              "notebook requirements-notebook.txt" \
	              "viewer requirements-viewer.txt requirements-dev.txt" \
	              "peers-quix bench/peers/requirements/quix.txt" \
	              "peers-faststream bench/peers/requirements/faststream.txt" \
	              "peers-mlserver bench/peers/requirements/mlserver.txt" \
	              "arm64 tests/arm64/requirements.txt"; do \
	    set -- $$target; name=$$1; shift; \
	    $(EDGE) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	        --no-emit-index-url --no-emit-find-links --custom-compile-command 'make locks' \
	        --output-file locks/$$name.txt "$$@"; \
	done

# For whom a bundle is: the device's `uname -m`, what it serves, and the Pythons that it may have.
ARCH ?= aarch64
MODEL ?= samples/lenet.onnx
PYTHONS ?= 3.11 3.12 3.13

.PHONY: bundle
bundle: .venv-edge/ready ## Pack wheels, model and units for a device into dist/: ARCH=aarch64 MODEL=model.onnx
	$(EDGE) -m deploy.bundle --arch "$(ARCH)" --model "$(MODEL)" $(PYTHONS:%=--python %)

.PHONY: test-bundle
test-bundle: .venv-edge/ready ## Install a bundle where there is no network, let it serve, run its units on a real systemd
	python=$$($(EDGE) -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
	&& bundle=$$($(EDGE) -m deploy.bundle --arch "$$(uname -m)" --python "$$python" --output dist/test) \
	&& if [ "$$(id -u)" = 0 ]; then own=; else own=--map-root-user; fi \
	&& BUNDLE=$$bundle unshare --net $$own sh -c 'ip link set lo up && exec "$$@"' - \
	    $(EDGE) -m pytest --require-kafka 1 tests/deploy

.PHONY: arm64
arm64: .venv-edge/ready ## The edge on a Raspberry Pi's processors, emulated; the verdict goes into docs/raspberry-pi.md
	$(EDGE) -m pytest tests/arm64
	$(EDGE) -m tests.arm64

.PHONY: clean
clean: ## Remove the environments and what the demo made; runs/ stays
	rm -rf .venv-edge .venv-train .venv-notebook .venv-viewer build/arm64 model.onnx model.parity.json latency.json

.venv-edge/ready: locks/dev.txt
.venv-train/ready: locks/train.txt
.venv-notebook/ready: locks/notebook.txt
.venv-viewer/ready: locks/viewer.txt

# One environment: a supported Python, room on the disk, packages as locked.
.venv-%/ready:
	@for name in python3 python3.13 python3.12 python3.11; do \
	    if $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; \
	    then python=$$name; break; fi; \
	done; \
	if [ -z "$${python:-}" ]; then echo "make: no Python from 3.11 to 3.13 was found: install one" >&2; exit 1; fi; \
	if [ "$$(df -Pm . | awk 'NR == 2 {print $$4}')" -lt $(DISK_$*) ]; \
	then echo "make: $(@D) needs $(DISK_$*) MB of free disk here" >&2; exit 1; fi; \
	rm -rf $(@D); \
	if ! $$python -m venv $(@D) >/dev/null; \
	then echo "make: $$python cannot make an environment: install its venv (Debian: python3-venv)" >&2; exit 1; fi; \
	echo "installing the packages of $< into $(@D) (once)"; \
	if ! $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<; \
	then echo "make: installing failed: if the package registry cannot be reached, set a proxy (HTTPS_PROXY)" \
	    "or a mirror (PIP_INDEX_URL)" >&2; rm -rf $(@D); exit 1; fi; \
	touch $@
