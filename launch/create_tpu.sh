#!/usr/bin/env bash
# Asks for a TPU: launch/create_tpu.sh [--dry-run] [--unless-there]. Names are in
# launch/env.sh. It stands in a queue until there is one; from then on it costs money.
# --unless-there: what was asked for before under this name does, unless it was taken away.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/env.sh
source "$here/env.sh"
only --unless-there

if [[ $DRY_RUN == 0 && ${ARGUMENTS[0]-} == --unless-there ]]; then
  now=$(state)
  case $now in
    NONE | UNKNOWN) ;;
    SUSPENDED | FAILED) "$here/delete_tpu.sh" ;;
    *)
      echo "# $NAME was asked for before: $now"
      exit 0
      ;;
  esac
fi

no_bucket() { # whether the workdir's bucket is ours, and not there yet
  local errors
  [[ $WORKDIR/ == "gs://$BUCKET/"* ]] || return 1
  [[ $DRY_RUN == 1 ]] && return
  errors=$(gcloud storage buckets describe "gs://$BUCKET" 2>&1 >/dev/null) && return 1
  grep -qiE "not[ _]found|HTTPError 404" <<<"$errors" && return
  echo "# gs://$BUCKET is taken to be there, as gcloud says only: $errors" >&2
  return 1
}

# First, as it costs nothing and can fail.
if no_bucket; then
  run gcloud storage buckets create "gs://$BUCKET" --project="$PROJECT" \
    --location="${ZONE%-*}" --uniform-bucket-level-access
fi

tier=()
[[ $SPOT == 1 ]] && tier=(--spot)

run gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" \
  --project="$PROJECT" --zone="$ZONE" --accelerator-type="$ACCELERATOR" \
  --runtime-version="$RUNTIME" --valid-until-duration="$WAIT" ${tier[0]+"${tier[@]}"}

echo "# next, when $(script watch_tpu.sh) says ACTIVE: $(script setup_tpu.sh)"
