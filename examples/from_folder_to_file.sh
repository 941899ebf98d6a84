#!/bin/sh
# From a folder of pictures to one file that classifies others: the whole way, each command shown before it runs.
#
#     sh examples/from_folder_to_file.sh [FOLDER]
#
# FOLDER (build/example) gets everything: pictures, run, exported file. `make example` sets up first.
set -eu
folder=${1:-build/example}
if [ -e "$folder" ]; then
    echo "$folder is there already; nothing is written over it: rm -r $folder" >&2
    exit 2
fi
mkdir -p "$folder"

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

run python "$(dirname "$0")/make_pictures.py" "$folder/signs"
run classicnets data check "$folder/signs"
run classicnets data preview "$folder/signs" -o "$folder/signs.png"
run classicnets train cifar10_26pct --recipe fast --data "$folder/signs" --runs "$folder/runs" \
    --set epochs=12 shift=2 mean=
run classicnets evaluate "$folder/runs/cifar10_26pct-signs-1"
run classicnets predict "$folder/runs/cifar10_26pct-signs-1" "$folder/signs/test/circle-3" --csv "$folder/run.csv"
run classicnets export "$folder/runs/cifar10_26pct-signs-1" -o "$folder/signs.onnx"
run classicnets predict "$folder/signs.onnx" "$folder/signs/test/circle-3" --csv "$folder/onnx.csv"
