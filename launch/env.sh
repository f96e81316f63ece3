# shellcheck shell=bash
# Every name that the TPU scripts use. Each can be set outside, for all of them:
# export ZONE=europe-west4-b. Sourced by the scripts, not run.

# Google Cloud
: "${PROJECT:=$(gcloud config get-value project 2>/dev/null || true)}"
: "${ZONE:=us-west4-a}"             # one that has the accelerator, near the bucket
: "${BUCKET:=${PROJECT}-l2d}"       # gs://BUCKET holds the workdirs
# The machine
: "${NAME:=l2d}"                    # of the request in the queue, and of the TPU
: "${ACCELERATOR:=v5litepod-16}"    # v5litepod-8: one VM; -16 and more: a pod slice
# System image. For v6e: v2-alpha-tpuv6e, v5p: v2-alpha-tpuv5, v4: tpu-ubuntu2204-base
: "${RUNTIME:=v2-alpha-tpuv5-lite}"
: "${SPOT:=1}"                      # 1: cheaper, may be taken away; 0: on demand
: "${WAIT:=6h}"                     # how long the request may stand in the queue
# The run
: "${CONFIG:=configs/stock.py}"
: "${WORKDIR:=gs://${BUCKET}/runs/$(basename "${CONFIG/.py/}" | tr ':,' '__')}"
: "${PYTHON:=3.12}"                 # installed on the TPU VMs, whose own is too old
: "${EVERY:=60}"                    # seconds between two looks of watch_tpu.sh

DRY_RUN=0
ARGUMENTS=() # what is left of the command line: goes to main.py
for argument in "$@"; do
  case $argument in
    --dry-run) DRY_RUN=1 ;;
    --help | -h) # the comment at the top of the script
      sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
      exit
      ;;
    *) ARGUMENTS+=("$argument") ;;
  esac
done
if [[ $DRY_RUN == 1 ]]; then
  : "${PROJECT:=PROJECT}"
  BUCKET=${BUCKET/#-l2d/PROJECT-l2d}
  WORKDIR=${WORKDIR/#gs:\/\/-l2d/gs:\/\/PROJECT-l2d}
elif [[ -z $PROJECT ]]; then
  echo "error: no Google Cloud project: PROJECT=... or gcloud config set project ..." >&2
  exit 2
fi

script() { # script FILE: as it is called for this TPU
  [[ $NAME == l2d ]] || printf 'NAME=%s ' "$NAME"
  printf 'launch/%s' "$1"
}

only() { # only [FLAG]: ends where others were given, as what was meant may cost money
  local argument
  for argument in ${ARGUMENTS[0]+"${ARGUMENTS[@]}"}; do
    if [[ $argument != "${1-}" ]]; then
      echo "error: $0 doesn't know $argument: see $0 --help" >&2
      exit 2
    fi
  done
}

quoted_word() { # in single quotes, or in double ones where that is easier to read
  local quote="'"
  if [[ $1 == *"'"* && $1 != *[\"\$\`\\!]* ]]; then
    echo "\"$1\""
  else
    echo "'${1//$quote/$quote\\$quote$quote}'"
  fi
}

quoted() { # quoted WORD...: as a shell reads it, with quotes only where needed
  local word line=""
  for word in "$@"; do
    if [[ $word == *[!A-Za-z0-9_./:=,@%+-]* && $word == --*=* ]]; then
      word="${word%%=*}=$(quoted_word "${word#*=}")"
    elif [[ $word == *[!A-Za-z0-9_./:=,@%+-]* ]]; then
      word=$(quoted_word "$word")
    fi
    line+="$word "
  done
  printf '%s\n' "${line% }"
}

run() { # run COMMAND...: says it, and does it unless --dry-run was given
  quoted "$@"
  [[ $DRY_RUN == 1 ]] || "$@"
}

on_all_workers() { # on_all_workers COMMAND: in a shell on each VM of the TPU
  run gcloud compute tpus tpu-vm ssh "$NAME" --project="$PROJECT" --zone="$ZONE" \
    --worker=all --command="$1"
}

state() { # of the request: ACTIVE, WAITING_FOR_RESOURCES, SUSPENDED, ...; NONE; and
  # UNKNOWN where gcloud fails for another reason, which goes to standard error
  local errors
  errors=$(mktemp)
  if gcloud compute tpus queued-resources describe "$NAME" --project="$PROJECT" \
    --zone="$ZONE" --format="value(state.state)" 2>"$errors"; then
    :
  elif grep -q NOT_FOUND "$errors"; then
    echo NONE
  else
    cat "$errors" >&2
    echo UNKNOWN
  fi
  rm -f "$errors"
}
