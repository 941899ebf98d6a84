#!/bin/sh
# From a folder of images to one file that classifies images. Each command is printed before it runs.
#
#     sh examples/from_folder_to_file.sh [FOLDER]
#
# FOLDER (default: build/example) gets the images, the run and the exported file. `make example` sets up .venv first.
set -eu
folder=${1:-build/example}
if [ -e "$folder" ]; then
    echo "$folder already exists. Remove it first: rm -r $folder" >&2
    exit 2
fi
mkdir -p "$folder"

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

classify() {
    printf '\n$ classicnets predict %s %s --csv > %s\n' "$1" "$2" "$3"
    classicnets predict "$1" "$2" --csv > "$3"
    head -n 4 "$3"
}

run python "$(dirname "$0")/make_images.py" "$folder/signs"
run classicnets data check "$folder/signs"
run classicnets data preview "$folder/signs" --size 32 -o "$folder/signs.png"
# Without normalization this network starts to learn only with larger initial weights and small batches.
run classicnets train cifar10_26pct --recipe fast --data "$folder/signs" --runs "$folder/runs" --set net.pool=max \
    epochs=8 batch_size=64 initialize=xavier_uniform shift=1 mean=0.45 std=0.2
trained=$folder/runs/cifar10_26pct-max-signs-1
run classicnets evaluate "$trained"
classify "$trained" "$folder/signs/test/circle-3" "$folder/by_run.csv"
run classicnets export "$trained" -o "$folder/signs.onnx"
classify "$folder/signs.onnx" "$folder/signs/test/circle-3" "$folder/by_onnx.csv"
