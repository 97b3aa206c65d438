# Thin: each target is one script under scripts/.
.DEFAULT_GOAL := help
.PHONY: help setup serve models test bench compare evaluate sample-scene golden model lock clean

# Passed on to the program behind a target: make serve ARGS="--port 9000"
ARGS ?=

help: ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make the virtual environment with libtorch, so that plain cargo works.
	@scripts/setup.sh

serve: ## Build in release mode and start the server. Options: ARGS="--port 9000"
	@scripts/serve.sh $(ARGS)

models: ## Look after the models in the store: ARGS="fetch da3-small"
	@scripts/models.sh $(ARGS)

test: ## Run formatters, linters and all tests.
	@scripts/test.sh

bench: ## Measure one run by stage, pings meanwhile, binary messages, and the official network beside ours.
	@scripts/bench.sh $(ARGS)

compare: ## Compare the official DA3 network, our archive and the service, on the CPU or a GPU.
	@scripts/compare.sh $(ARGS)

evaluate: ## Measure the model mvs on unseen procedural scenes.
	@scripts/python.sh -m weights.evaluate $(ARGS)

model: ## Build the archive of the model mvs from its sources.
	@scripts/python.sh -m weights.mvs.build

sample-scene: ## Render the sample scene under examples/ anew.
	@scripts/python.sh -m weights.scenes.sample examples/sample_scene

golden: ## Compute the golden data of the image tests anew with OpenCV.
	@scripts/python.sh reconstruction/tests/golden/make.py

lock: ## Resolve requirements/*.in to exact versions and hashes again.
	@scripts/lock.sh

clean: ## Remove all that the other targets made, but not the server's data.
	@scripts/clean.sh
