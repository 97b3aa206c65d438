#!/usr/bin/env bash
# Usage: scripts/load.sh [--idle N] [--active N] [--seconds N] ...
#        scripts/load.sh uploads [--pace MB] ...
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-python-tools >&2
need_rust
cargo build --release --locked --bin pointstream >&2
exec .venv/bin/python -m integration.load "$@"
