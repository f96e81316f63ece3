#!/usr/bin/env bash
# Says every minute where a run stands, until it has ended:
#   launch/watch_tpu.sh [--dry-run] [--once | --until-active | --restart [FLAG OF main.py]...]
# --once: one look. --until-active: until there is a TPU. --restart: a TPU that was taken
# away is asked for again, and the run goes on; with the flags of main.py that it had.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
once=0 until_active=0 restart=0 left=()
for argument in "$@"; do
  case $argument in
    --once) once=1 ;;
    --until-active) until_active=1 ;;
    --restart) restart=1 ;;
    *) left+=("$argument") ;;
  esac
done
set -- ${left[0]+"${left[@]}"} # what env.sh reads
# shellcheck source=launch/env.sh
source "$here/env.sh"
[[ $restart == 1 ]] || only

look() { # the state of the run on worker 0, and what it said last
  gcloud compute tpus tpu-vm ssh "$NAME" --project="$PROJECT" --zone="$ZONE" --worker=0 \
    --command="if kill -0 \$(cat run.pid) 2>/dev/null; then echo running; else echo ended; \
fi; tail -n 3 run.log 2>/dev/null"
}

if [[ $DRY_RUN == 1 ]]; then
  quoted gcloud compute tpus queued-resources describe "$NAME" --project="$PROJECT" \
    --zone="$ZONE" "--format=value(state.state)"
  quoted gcloud compute tpus tpu-vm ssh "$NAME" --project="$PROJECT" --zone="$ZONE" \
    --worker=0 --command="tail -n 3 run.log"
  exit 0
fi

lost=0    # with --restart: the TPU was taken away, and none is asked for yet
waiting=0 # with --restart: the run isn't on the new TPU yet
while true; do
  now=$(state)
  said="" gone=0
  [[ $now == ACTIVE && $until_active == 1 ]] && break
  case $now in
    ACTIVE)
      if [[ $waiting == 1 ]] && "$here/setup_tpu.sh" &&
        "$here/run_tpu.sh" ${ARGUMENTS[0]+"${ARGUMENTS[@]}"}; then
        lost=0 waiting=0
      fi
      if [[ $waiting == 1 ]]; then
        said="set-up or start failed: tried again at the next look"
      else
        said=$(look || true)
      fi
      ;;
    SUSPENDED | FAILED | NONE)
      [[ $now != NONE && $restart == 1 ]] && lost=1 waiting=1
      if [[ $lost == 0 ]]; then
        gone=1
      elif { [[ $now == NONE ]] || "$here/delete_tpu.sh"; } && "$here/create_tpu.sh"; then
        lost=0
      else
        said="asking for another TPU failed: tried again at the next look"
      fi
      ;;
  esac
  echo "$(date '+%F %T') $NAME: $now${said:+, $said}"
  [[ $once == 1 ]] && break
  goes_on=0 # with --restart: stopped, as the TPU is about to be taken away
  [[ $restart == 1 && $said == *"stopped by SIGTERM"* && $said != *"error:"* ]] && goes_on=1
  if [[ $said == ended* && $goes_on == 0 ]]; then
    echo "the run has ended: $WORKDIR. To end the costs: $(script delete_tpu.sh)"
    break
  fi
  if [[ $gone == 1 ]]; then
    next="$(script delete_tpu.sh), $(script create_tpu.sh)"
    echo "no TPU: $next; or watch with --restart"
    exit 1
  fi
  sleep "$EVERY"
done
