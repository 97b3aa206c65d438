#!/usr/bin/env bash
# Usage: scripts/soak.sh [--minutes N] [--model NAME] [--seed N] ...
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-python-tools >&2
need_rust
cargo build --release --locked --bin pointstream >&2
exec .venv/bin/python -m integration.soak "$@"
