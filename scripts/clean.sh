#!/usr/bin/env bash
# Removes all that the other scripts made: build outputs, the virtual environment, caches.
source "$(dirname "$0")/common.sh"

rm -rf target .venv .libtorch integration/asyncapi/node_modules integration/glb/node_modules .pytest_cache .ruff_cache
find . -name __pycache__ -type d -prune -exec rm -rf {} +
