#!/usr/bin/env bash
# Usage: scripts/serve.sh [OPTION OF THE SERVER...]
source "$(dirname "$0")/common.sh"

scripts/setup.sh
need_rust
exec cargo run --release --locked --bin pointstream -- "$@"
