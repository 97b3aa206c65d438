#!/usr/bin/env bash
# Usage: scripts/bench.sh [--json] [--runs N] [--frames N] [--process-res PIXELS] ...
#        scripts/bench.sh stream [--frames N] [--photos FOLDER] [--shuffle] ...
#        scripts/bench.sh neighbours --photos FOLDER [--large N] [--neighbours N] ...
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-python-tools >&2
need_rust
cargo build --release --locked --bin pointstream >&2
exec .venv/bin/python -m integration.bench "$@"
