#!/usr/bin/env bash
# On a VM: worker_run.sh FLAG OF main.py... starts training, in the background.
# run_tpu.sh calls it on all VMs. An earlier run that is still there is asked to save and
# stop first. run.log is what it says, run.pid its process.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ -f ../run.pid ]] && kill -TERM "$(<../run.pid)" 2>/dev/null; then
  timeout 30 tail --pid="$(<../run.pid)" -f /dev/null || true
fi
# nohup: it lives on when the connection ends.
nohup ../l2d_venv/bin/python -u main.py "$@" >>../run.log 2>&1 </dev/null &
echo $! >../run.pid
