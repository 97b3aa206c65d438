#!/usr/bin/env bash
# Usage: scripts/kills.sh [--kills N] [--clients N] [--seed N] [--model ARCHIVE] ...
#
# Without --model the clients use a quick archive: what is tested is not the model.
source "$(dirname "$0")/common.sh"

prepare_quick_model
exec .venv/bin/python -m integration.kills --model "$quick_model" "$@"
