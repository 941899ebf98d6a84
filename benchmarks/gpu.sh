#!/usr/bin/env bash
# All measurements of a GPU in at most ten minutes: each part of benchmarks/gpu.py, with a limit of time of its own.
#
#   bash benchmarks/gpu.sh [--smoke] [FOLDER]       results as JSON and table.md in FOLDER (default: gpu-results)
#
# --smoke tries the script in a minute or two, on a machine without a GPU as well. A part that fails or takes too long is
# named at the end, and the exit code is 1; the others still run. PYTHON is the interpreter (default: python).
set -u
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
smoke=
if [ "${1:-}" = --smoke ]; then
    smoke=--smoke
    shift
fi
folder=${1:-gpu-results}
mkdir -p "$folder"
failed=
while read -r part limit; do
    echo "== $part"
    # shellcheck disable=SC2086  # no word at all without --smoke
    timeout "$limit" "$python" "$here/gpu.py" "$part" $smoke --out "$folder/$part.json" </dev/null || failed="$failed $part"
done <<PARTS
train 150
lrn 40
deterministic 60
evaluation 60
seeds 150
processes 120
PARTS
"$python" "$here/gpu.py" table "$folder"/*.json >"$folder/table.md"
cat "$folder/table.md"
if [ -n "$failed" ]; then
    echo "failed:$failed" >&2
    exit 1
fi
