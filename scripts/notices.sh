#!/usr/bin/env bash
# Usage: scripts/notices.sh [FOLDER [--cuda]]
#
# Writes the licence notices of crates, bundled npm packages and libtorch to the folder, by default
# target/notices. --cuda adds those of the CUDA libraries, which must be installed.
source "$(dirname "$0")/common.sh"

need_node
scripts/setup.sh
need_rust
[ -d web/node_modules ] || npm ci --prefix web --no-audit --no-fund
exec .venv/bin/python scripts/notices.py "${@:-target/notices}"
