#!/usr/bin/env bash
# Usage: scripts/serve.sh [OPTION OF THE SERVER...]
source "$(dirname "$0")/common.sh"

# Which model is asked for, and what decides whether it can be fetched.
model=${POINTSTREAM_MODEL:-}
python=${POINTSTREAM_PYTHON:-}
store=()
agreed=()
previous=
for argument in "$@"; do
  case "$previous" in
    --model) model=$argument ;;
    --model-store) store=(--model-store "$argument") ;;
    --python) python=$argument ;;
  esac
  case "$argument" in
    --model=*) model=${argument#--model=} ;;
    --model-store=*) store=("$argument") ;;
    --python=*) python=${argument#--python=} ;;
    --accept-license | --offline) agreed+=("$argument") ;;
  esac
  previous=$argument
done

scripts/setup.sh
need_rust
cargo build --release --locked --bin pointstream
# The server fetches a model that is named and not in the store, which takes more of Python: that is
# installed once the fetch has a prospect. If it has none, the server says why.
case "$model" in
  *[/.]*) ;;
  da3*)
    if [ -z "$python" ] && ! pointstream models path "$model" "${store[@]}" >/dev/null 2>&1 &&
      pointstream models fetch "$model" --check "${store[@]}" "${agreed[@]}" >/dev/null 2>&1; then
      scripts/setup.sh --with-model-tools
    fi
    ;;
esac
exec cargo run --release --locked --bin pointstream -- "$@"
