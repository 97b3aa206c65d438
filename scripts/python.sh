#!/usr/bin/env bash
# Usage: scripts/python.sh ARGUMENT...
#
# Runs the Python of .venv in the repository's root, with the packages of the project's tools.
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-python-tools
exec .venv/bin/python "$@"
