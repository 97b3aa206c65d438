#!/usr/bin/env bash
# Usage: scripts/serve.sh [OPTION OF THE SERVER...]
source "$(dirname "$0")/common.sh"

# Which model is asked for, and in which store it may be.
model=${POINTSTREAM_MODEL:-}
store=()
previous=
for argument in "$@"; do
  case "$previous" in
    --model) model=$argument ;;
    --model-store) store=(--model-store "$argument") ;;
  esac
  case "$argument" in
    --model=*) model=${argument#--model=} ;;
    --model-store=*) store=("$argument") ;;
  esac
  previous=$argument
done

scripts/setup.sh
need_rust
cargo build --release --locked --bin pointstream
# The server fetches a model that is named and not in the store, which takes more of Python.
if [[ "$model" == da3* ]] &&
  ! cargo run --quiet --release --locked --bin pointstream -- \
    models path "$model" "${store[@]}" >/dev/null 2>&1; then
  scripts/setup.sh --with-model-tools
fi
exec cargo run --release --locked --bin pointstream -- "$@"
