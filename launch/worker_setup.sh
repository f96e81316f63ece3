#!/usr/bin/env bash
# On a VM: worker_setup.sh VERSION OF PYTHON installs it, JAX for TPU and this checkout.
# setup_tpu.sh calls it on all VMs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python3 -m pip install --quiet --user uv
~/.local/bin/uv venv --quiet --clear --python="$1" ../l2d_venv
~/.local/bin/uv pip install --quiet --python=../l2d_venv/bin/python -e '.[tpu,gcs]'
