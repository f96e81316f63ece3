#!/usr/bin/env bash
# Asks for a TPU: launch/create_tpu.sh [--dry-run]. Names are in launch/env.sh.
# It stands in a queue until there is one; from then on it costs money.
set -euo pipefail
# shellcheck source=launch/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

tier=()
[[ $SPOT == 1 ]] && tier=(--spot)

run gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" \
  --project="$PROJECT" --zone="$ZONE" --accelerator-type="$ACCELERATOR" \
  --runtime-version="$RUNTIME" --valid-until-duration="$WAIT" ${tier[0]+"${tier[@]}"}

if [[ $DRY_RUN == 1 ]] || ! gcloud storage buckets describe "gs://$BUCKET" >/dev/null 2>&1; then
  run gcloud storage buckets create "gs://$BUCKET" --project="$PROJECT" \
    --location="${ZONE%-*}" --uniform-bucket-level-access
fi
echo "# next, when launch/watch_tpu.sh says ACTIVE: launch/setup_tpu.sh"
