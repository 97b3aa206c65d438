#!/usr/bin/env bash
# Usage: scripts/bench.sh [OPTION OF THE BENCHMARK...]
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-python-tools
need_rust
cargo build --release --locked --bin pointstream
exec .venv/bin/python -m integration.bench "$@"
