#!/bin/sh
# Trains, exports, tunes and measures the support-tickets bundle.
#   support-tickets.sh DATA WORK BUNDLE REVISION
# DATA: folder with clinc150 and banking77. WORK: scratch space.
set -eu
data=$1 work=$2 bundle=$3 revision=$4
cd "$(dirname "$0")"
mkdir -p "$work" "$bundle"
recipe="--recipe support-tickets"

python -m heads.train $recipe --data "$data" --out "$work/a" --centroids --layers 0,2,5 \
    --frequent 2000 --least 2 --epochs 4 --rows 64 --budget 1536
python -m heads.export --checkpoint "$work/a/last.pt" --out "$work/export"
python -m heads.tune $recipe --data "$data" --bundle "$work/export" --revision "$revision" \
    > "$work/tune.json"
for split in dev test; do
    python -m heads.evaluate $recipe --data "$data" --bundle "$work/export" --split $split \
        --compare > "$work/$split.json"
done
python -m heads.baseline $recipe --data "$data" --split test > "$work/linear.json"
python -m heads.fixture $recipe --bundle "$work/export"
python -m heads.card $recipe --bundle "$work/export" --reports "$work"
for file in model.onnx tokenizer.json bundle.json decoder_fixture.json README.md NOTICE; do
    cp "$work/export/$file" "$bundle/"
done
