#!/usr/bin/env bash
# Usage: scripts/fuzz.sh [--seconds N] [--threads N] [NAME...]
#
# Tries every parser of bytes from outside with changed and generated inputs for so many seconds each (60), or
# those whose tests have one of the names. Prints how many inputs each has got.
source "$(dirname "$0")/common.sh"

seconds=60
threads=$(nproc)
names=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds | --threads)
      [ $# -gt 1 ] || fail "$1 needs a number."
      declare "${1#--}=$2"
      shift 2
      ;;
    -*) fail "unknown option $1; known are --seconds and --threads." ;;
    *)
      names+=("$1")
      shift
      ;;
  esac
done
need_rust
scripts/setup.sh >&2

export ARBTEST_BUDGET_MS=$((seconds * 1000))
tried=0
# try PATH ARGUMENT...: runs the tests below a path that have one of the names, of the crates that the arguments of
# cargo select.
try() {
  local path=$1 test tests=()
  shift
  # The development build: it stops where numbers overflow.
  while read -r test; do
    [ ${#names[@]} = 0 ] || grep -qF "$(printf '%s\n' "${names[@]}")" <<<"$test" || continue
    tests+=("$test")
  done < <(cargo test --locked "$@" -- --list 2>/dev/null | sed -n 's/: test$//p' | grep -F "$path")
  [ ${#tests[@]} -gt 0 ] || return 0
  tried=$((tried + ${#tests[@]}))
  cargo test --locked "$@" -- --nocapture --test-threads "$threads" --exact "${tests[@]}" |
    { grep -E 'fuzzed|FAILED|panicked|failed with|Seed' || true; }
}
try "" --package pointstream-reconstruction --test fuzz
try fuzz:: --package pointstream-actors --lib
try fuzz:: --package pointstream --bins
[ "$tried" -gt 0 ] || fail "no test has the name ${names[*]}."
