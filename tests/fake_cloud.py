"""A gcloud that writes down its calls and does nothing: see the fixture `cloud`."""

import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "launch"


# Says what stands in answers/COMMAND.N at the N-th call, else in answers/COMMAND; what
# stands in answers/COMMAND.N.error is the error that it ends with.
GCLOUD = """#!/usr/bin/env bash
printf '%s\\n' "$(printf '%q ' gcloud "$@")" >> "$FAKE/calls"
command=$4
[[ $1 == storage ]] && command="$1-$3"
[[ $1 == config ]] && exit 1
count=$(grep -c -- "^gcloud $1 .* ${command#storage-} " "$FAKE/calls")
error="$FAKE/$command.$count.error"
[[ -f $error ]] && { cat "$error" >&2; exit 1; }
for answer in "$FAKE/$command.$count" "$FAKE/$command"; do
  [[ -f $answer ]] && { cat "$answer"; exit 0; }
done
[[ $command != storage-describe ]] || { echo "ERROR: $4 not found: 404." >&2; exit 1; }
"""


def calls(cloud):
    """Of gcloud, as lists of words."""
    path = cloud / "calls"
    if not path.exists():
        return []
    return [shlex.split(line)[1:] for line in path.read_text().splitlines()]
