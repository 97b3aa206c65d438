#!/usr/bin/env bash
# Resolves requirements/*.in to requirements/*.txt for every supported Python, with hashes.
source "$(dirname "$0")/common.sh"

command -v uv >/dev/null || fail "uv is needed to resolve requirements (pip install uv)."
cd requirements
export UV_CUSTOM_COMPILE_COMMAND="make lock"
python=3.10
lock() {
  local name=$1
  shift
  uv pip compile --quiet --upgrade --universal --python-version "$python" --generate-hashes \
    --no-emit-index-url "$@" "$name.in" --output-file "$name.txt"
}
lock libtorch --no-deps
lock cuda --no-deps
lock models --constraint libtorch.txt --constraint cuda.txt
lock test --constraint models.txt
lock oracle --no-deps
lock docs --constraint test.txt
lock package --no-deps
# The generator of Python clients needs a newer Python.
python=3.11
lock ../integration/schemas/requirements
