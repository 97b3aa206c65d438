#!/usr/bin/env bash
# Usage: scripts/python.sh ARGUMENT...
#
# Runs the Python of .venv in the repository's root, with all that the project's tools need.
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-python-tools
exec .venv/bin/python "$@"
