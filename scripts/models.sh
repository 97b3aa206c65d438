#!/usr/bin/env bash
# Usage: scripts/models.sh list | fetch NAME | verify | remove NAME | path NAME
source "$(dirname "$0")/common.sh"

if [ "${1:-}" = fetch ]; then
  scripts/setup.sh --with-model-tools
else
  scripts/setup.sh
fi
need_rust
exec cargo run --release --locked --bin pointstream -- models "$@"
