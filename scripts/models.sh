#!/usr/bin/env bash
# Usage: scripts/models.sh list | fetch NAME | verify | remove NAME | path NAME
source "$(dirname "$0")/common.sh"

# Runs the subcommand `models`, with the same build and setup as for serving.
exec scripts/serve.sh models "$@"
