#!/usr/bin/env bash
# Removes the outputs of the other scripts: builds, the virtual environment, packages, caches.
source "$(dirname "$0")/common.sh"

rm -rf target .venv .libtorch .pytest_cache .ruff_cache
rm -rf web/node_modules clients/js/{node_modules,dist}
rm -rf integration/{browser,glb,schemas}/node_modules integration/schemas/.venv
find . -name __pycache__ -type d -prune -exec rm -rf {} +
