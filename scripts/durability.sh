#!/usr/bin/env bash
# Usage: scripts/durability.sh [--clients N] [--images N] [--rounds N] [--model ARCHIVE] ...
#
# Without --model the clients use a quick archive: what is measured is not the model.
source "$(dirname "$0")/common.sh"

prepare_quick_model
exec .venv/bin/python -m integration.durability --model "$quick_model" "$@"
