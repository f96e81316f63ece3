#!/usr/bin/env bash
# Trains on all VMs of the TPU: launch/run_tpu.sh [--dry-run] [FLAG OF main.py]...
# The same command goes on where an interrupted run was. Output: launch/watch_tpu.sh.
set -euo pipefail
# shellcheck source=launch/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

# On a pod slice the VMs find each other.
on_all_workers "$(quoted l2d_jax/launch/worker_run.sh "--config=$CONFIG" \
  "--workdir=$WORKDIR" ${ARGUMENTS[0]+"${ARGUMENTS[@]}"})"
echo "# next: $(script watch_tpu.sh); to end the costs: $(script delete_tpu.sh)"
