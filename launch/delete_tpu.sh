#!/usr/bin/env bash
# Gives the TPU back, or the place in the queue: launch/delete_tpu.sh [--dry-run].
# This ends the costs. The bucket stays; a run that isn't finished can go on.
set -euo pipefail
# shellcheck source=launch/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
only

run gcloud compute tpus queued-resources delete "$NAME" --project="$PROJECT" \
  --zone="$ZONE" --force --quiet
