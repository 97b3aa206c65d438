# Each target calls one script or module.
.DEFAULT_GOAL := help
.PHONY: help setup serve models local-certificate package check-package install docs test schemas notices deny bench \
	sizing soak load kills durability fuzz sanitize compare evaluate sample-scene golden model lock clean

# Arguments for the program behind a target: make serve ARGS="--port 9000"
ARGS ?=

help: ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Create the virtual environment with libtorch; afterwards cargo build and run work.
	@scripts/setup.sh

serve: ## Build in release mode and start the server. Options: ARGS="--port 9000"
	@scripts/serve.sh $(ARGS)

models: ## Manage the models in the store: ARGS="fetch da3-small"
	@scripts/models.sh $(ARGS)

local-certificate: ## Make a certificate for HTTPS in the local network, for more names: ARGS="scan.lan"
	@scripts/local-certificate.sh $(ARGS)

package: ## Make an archive that runs elsewhere, and a Debian package, in target/package/.
	@scripts/package.sh $(ARGS)

check-package: ## Try a package without this checkout: ARGS=target/package/NAME.tar.zst
	@scripts/package/check.sh $(ARGS)

install: ## Build and install the program: PREFIX=/usr/local DESTDIR=
	@scripts/install.sh $(ARGS)

docs: ## Build the site of the documents in target/site/, and check its links.
	@scripts/docs.sh $(ARGS)

test: ## Run formatters, linters and all tests, or some steps: ARGS="build_rust test_rust"
	@scripts/test.sh $(ARGS)

notices: ## Write the licence notices of crates, pages and libtorch to target/notices/.
	@scripts/notices.sh

schemas: ## Check the descriptions of the interfaces, with a generated Python client too.
	@integration/schemas/run.sh --python

deny: ## Check advisories, licences, duplicates and sources of crates (needs cargo-deny).
	@cargo deny check

bench: ## Measure stages, latency, messages and the official network, or: ARGS="stream"
	@scripts/bench.sh $(ARGS)

sizing: ## Measure time, memory and disk of reconstructions: ARGS="--photos 8 --process-res 504"
	@scripts/sizing.sh $(ARGS)

soak: ## Let mixed clients use one server for an hour, and see what grows: ARGS="--minutes 60"
	@scripts/soak.sh $(ARGS)

load: ## Measure many idle sockets beside active ones: ARGS="--idle 10000 --active 1000"
	@scripts/load.sh $(ARGS)

kills: ## Kill the server under load at random moments, and see what is lost: ARGS="--kills 1000"
	@scripts/kills.sh $(ARGS)

durability: ## Measure acknowledgements with and without waiting for the disk: ARGS="--clients 4"
	@scripts/durability.sh $(ARGS)

fuzz: ## Try parsers with inputs guided by coverage for a minute each, or: ARGS="--seconds 600 images"
	@scripts/fuzz.sh $(ARGS)

sanitize: ## Run unit tests with the sanitizers of nightly Rust, or one: ARGS="address"
	@scripts/sanitize.sh $(ARGS)

compare: ## Compare the official DA3 network, its archive and the service on a CPU or GPU.
	@scripts/compare.sh $(ARGS)

evaluate: ## Measure the accuracy of the model mvs on unseen scenes, or: ARGS="--photos FOLDER"
	@scripts/python.sh -m weights.evaluate $(ARGS)

model: ## Build the archive of the model mvs from its sources.
	@scripts/python.sh -m weights.mvs.build

sample-scene: ## Render the sample scene under examples/ again.
	@scripts/python.sh -m weights.scenes.sample examples/sample_scene

golden: ## Compute the golden data of the image tests again with OpenCV.
	@scripts/python.sh reconstruction/tests/golden/make.py

lock: ## Resolve requirements/*.in to exact versions and hashes again.
	@scripts/lock.sh

clean: ## Remove build outputs and installed packages; keep the server's data.
	@scripts/clean.sh
