#!/usr/bin/env bash
# Usage: scripts/models.sh list | fetch NAME | verify | remove NAME | path NAME
source "$(dirname "$0")/common.sh"

# Fetching takes more of Python, unless another one is named or nothing is fetched.
fetches=false
[ "${1:-}" = fetch ] && [ -z "${POINTSTREAM_PYTHON:-}" ] && fetches=true
for argument in "$@"; do
  case "$argument" in
    --python | --python=* | --check | --help | -h) fetches=false ;;
  esac
done

scripts/setup.sh
need_rust
cargo build --release --locked --bin pointstream
if "$fetches"; then
  # What refuses it now would refuse it after gigabytes of packages as well.
  checked=$(pointstream models "$@" --check)
  case "$checked" in
    *": in the store") ;;
    *) scripts/setup.sh --with-model-tools ;;
  esac
fi
exec cargo run --release --locked --bin pointstream -- models "$@"
