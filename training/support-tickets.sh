#!/bin/sh
# Trains, exports, tunes and measures the support-tickets bundle.
#   support-tickets.sh DATA WORK BUNDLE REVISION
# DATA: folder with clinc150 and banking77. WORK: scratch space.
set -eu
data=$1 work=$2 bundle=$3 revision=$4
cd "$(dirname "$0")"
mkdir -p "$work" "$bundle"
recipe="--recipe support-tickets"

# Four layers; then the vocabulary is cut further and the weights settle.
python -m heads.train $recipe --data "$data" --out "$work/a" --centroids --layers 0,1,3,5 \
    --frequent 2000 --epochs 4 --rows 64 --budget 1536
python -m heads.train $recipe --data "$data" --out "$work/b" --init "$work/a/last.pt" --forget \
    --frequent 1000 --least 3 --epochs 2 --lr 1.2e-4 --head-lr 5e-4 --rows 64 --budget 1536
python -m heads.export --checkpoint "$work/b/last.pt" --out "$work/export"
python ranges.py $recipe --data "$data" --bundle "$work/export"
python -m heads.tune $recipe --data "$data" --bundle "$work/export" --revision "$revision" \
    > "$work/tune.json"
for split in dev test; do
    python -m heads.evaluate $recipe --data "$data" --bundle "$work/export" --split $split \
        --compare > "$work/$split.json"
done
python -m heads.fixture $recipe --bundle "$work/export"
python -m heads.card $recipe --bundle "$work/export" --reports "$work"
for file in model.onnx tokenizer.json bundle.json decoder_fixture.json README.md NOTICE; do
    cp "$work/export/$file" "$bundle/"
done
