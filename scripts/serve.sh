#!/usr/bin/env bash
# Usage: scripts/serve.sh [OPTION OF THE SERVER...]
source "$(dirname "$0")/common.sh"

scripts/setup.sh
need_rust
cargo build --release --locked --bin pointstream
# A server that fetches its model needs more Python packages, of several gigabytes.
if pointstream needs-model-tools -- "$@"; then
  scripts/setup.sh --with-model-tools
fi
exec cargo run --release --locked --bin pointstream -- "$@"
