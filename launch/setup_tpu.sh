#!/usr/bin/env bash
# Brings this checkout and its libraries to every VM: launch/setup_tpu.sh [--dry-run].
# Again after a change: what is committed is what runs.
set -euo pipefail
# shellcheck source=launch/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
only
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! git rev-parse --verify --quiet HEAD > /dev/null 2>&1; then
  echo "error: no git checkout in $PWD, and what is committed is what is brought: clone" \
    "the project, or here git init, git add --all and git commit" >&2
  exit 2
fi

archive=$(mktemp -d)/l2d_jax.tar.gz
trap 'rm -rf "$(dirname "$archive")"' EXIT

run git archive --format=tar.gz --prefix=l2d_jax/ --output="$archive" HEAD
run gcloud compute tpus tpu-vm scp "$archive" "$NAME":l2d_jax.tar.gz \
  --project="$PROJECT" --zone="$ZONE" --worker=all
on_all_workers "rm -rf l2d_jax && tar xzf l2d_jax.tar.gz && \
l2d_jax/launch/worker_setup.sh $PYTHON"
echo "# next: $(script run_tpu.sh)"
