#!/usr/bin/env bash
# Usage: scripts/sizing.sh [--folder FOLDER] [--photos N...] [--process-res PIXELS...] ...
#
# Measures what a reconstruction needs. Without a folder it renders photos once, which takes minutes.
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-python-tools >&2
need_rust
cargo build --release --locked --bin pointstream >&2
walk=target/sizing/walk
if [[ " $* " != *" --folder"* ]] && [ ! -e "$walk/colmap.json" ]; then
  .venv/bin/python -m weights.scenes.walk "$walk" --frames 24 --width 504 --height 378 >&2
fi
exec .venv/bin/python -m integration.sizing "$@"
