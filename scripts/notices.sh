#!/usr/bin/env bash
# Writes the licence notices of crates, bundled npm packages and libtorch to target/notices/.
source "$(dirname "$0")/common.sh"

need_node
scripts/setup.sh
need_rust
[ -d web/node_modules ] || npm ci --prefix web --no-audit --no-fund
exec .venv/bin/python scripts/notices.py target/notices
