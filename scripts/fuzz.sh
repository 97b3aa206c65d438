#!/usr/bin/env bash
# Usage: scripts/fuzz.sh [--seconds N] [--threads N] [--keep N] [NAME...]
#
# Tries every parser of bytes from outside for so many seconds each (60), or those whose tests have one of the names.
# Inputs are guided by the code that they reach (bolero with its engine libFuzzer). Prints how many each has got. With
# --keep, up to N inputs of each that reach code that no input of the corpus reaches are added to fuzzing/corpus/.
source "$(dirname "$0")/common.sh"

seconds=60
threads=$(nproc)
keep=0
names=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds | --threads | --keep)
      [ $# -gt 1 ] || fail "$1 needs a number."
      declare "${1#--}=$2"
      shift 2
      ;;
    -*) fail "unknown option $1; known are --seconds, --threads and --keep." ;;
    *)
      names+=("$1")
      shift
      ;;
  esac
done
need_rust
need_compiler
[[ $PWD != *" "* ]] || fail "the engine takes no paths with spaces, such as $PWD."

# As cargo-bolero sets them. With a target they do not apply to build scripts, which have no engine.
export RUSTFLAGS="--cfg fuzzing --cfg fuzzing_libfuzzer -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
-Cllvm-args=-sanitizer-coverage-stack-depth"
target=$(rustc -vV | sed -n 's/^host: //p')
runs=$PWD/target/fuzz/runs
rm -rf "$runs"
mkdir -p "$runs"

# add FOLDER PATH ARGUMENT...: notes the tests below a path that have one of the names, of the package in a folder and
# the test program that the arguments of cargo select.
add() {
  local folder=$1 path=$2 program test
  shift 2
  # The development build: it stops where numbers overflow.
  program=$(cargo test --locked --target "$target" --target-dir target/fuzz --no-run --message-format json "$@" |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
  while read -r test; do
    [ ${#names[@]} = 0 ] || grep -qF "$(printf '%s\n' "${names[@]}")" <<<"$test" || continue
    echo "$folder $program $test"
  done < <("$program" --list 2>/dev/null | sed -n 's/: test$//p' | grep -F "$path")
}

# engine RUN PROGRAM TEST ARGUMENT...: lets the engine run a test with its arguments.
engine() {
  local run=$1 program=$2 test=$3
  shift 3
  # The engine starts itself again by its first argument, with its arguments in the environment.
  printf '#!/bin/sh\nexec %s --exact %s --nocapture --test-threads 1\n' "$program" "$test" >"$run/again"
  chmod +x "$run/again"
  POINTSTREAM_FUZZ_FOLDER=$run BOLERO_LIBFUZZER_ARGS=$* \
    bash -c 'exec -a "$0" "$@"' "$run/again" "$program" --exact "$test" --nocapture --test-threads 1
}

# try FOLDER PROGRAM TEST: runs a test, and says what came of it.
try() {
  local program=$2 test=$3 run=$runs/${3//:/_} status=0 corpus found
  mkdir -p "$run/inputs" "$run/found"
  cd "$1"
  engine "$run" "$program" "$test" "$run/found" "$run/inputs" "-dict=$run/words" "-artifact_prefix=$run/" \
    "-max_total_time=$seconds" -timeout=25 -print_final_stats=1 >"$run/log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    cat "$run/log"
    echo "$test FAILED; its input is in $run, and belongs into $(cat "$run/corpus") once it is repaired"
    return 1
  fi
  echo "fuzzed $test: $(sed -n 's/^stat::number_of_executed_units: *//p' "$run/log") executions in $seconds s," \
    "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$run/log" | tail -n 1) places of the code"
  [ "$keep" -gt 0 ] || return 0
  engine "$run" "$program" "$test" -set_cover_merge=1 -use_counters=0 "$run/inputs" "$run/found" \
    >"$run/merged" 2>&1
  corpus=$(cat "$run/corpus")
  # What the merge has added is named by its digest. The smallest first.
  find "$run/inputs" -type f -name '????????????????????????????????????????' -printf '%s %p\n' | sort -n |
    sed -n "1,${keep}s/^[0-9]* //p" | while read -r found; do
    mkdir -p "$corpus"
    cp "$found" "$corpus/"
  done
}

tests=$(
  add reconstruction "" --package pointstream-reconstruction --test fuzz
  add actors fuzz:: --package pointstream-actors --lib
  scripts/setup.sh >&2
  add . fuzz:: --package pointstream --bins
)
[ -n "$tests" ] || fail "no test has the name ${names[*]}."
export -f engine try
export seconds keep runs
xargs -P "$threads" -L 1 bash -c 'set -euo pipefail; try "$@"' _ <<<"$tests" || fail "see above."
