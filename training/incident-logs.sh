#!/bin/sh
# Trains, exports, tunes and measures the incident-logs bundle.
#   incident-logs.sh DATA WORK BUNDLE REVISION
# DATA: folder with mwo2kg_ner, maintie, mwo2kg_failure_mode, omin_faa, pdl_excavator. WORK: scratch.
set -eu
data=$1 work=$2 bundle=$3 revision=$4
cd "$(dirname "$0")"
mkdir -p "$work" "$bundle"
recipe="--recipe incident-logs"
train="python -m heads.train $recipe --data $data --noise 0.2"

# Three teachers: the base cut down, the same after masked pretraining, and the whole base.
python -m heads.pretrain $recipe --data "$data" --out "$work/masked" --split orders \
    --layers 0,1,3,5 --frequent 4000 --epochs 8 --lr 4e-4
$train --out "$work/a" --layers 0,1,3,5 --frequent 4000 --epochs 8
$train --out "$work/b" --init "$work/masked/last.pt" --epochs 9
$train --out "$work/c" --heads entities,maintie --epochs 10 --seed 9
python -m heads.teach $recipe --data "$data" --split orders --heads entities,maintie \
    --checkpoint "$work/a/last.pt" "$work/b/last.pt" "$work/c/last.pt" --out "$work/soft.npz"

# The pupil goes on from the second one, with raw work orders that only the teachers labelled;
# the mean of its weights after two rounds is shipped.
$train --out "$work/d" --init "$work/b/last.pt" --split raw --soft "$work/soft.npz" --mix 0.6 \
    --frequent 0 --epochs 5
$train --out "$work/e" --init "$work/d/last.pt" --split raw --soft "$work/soft.npz" --mix 0.7 \
    --epochs 6 --lr 1.5e-4 --head-lr 5e-4 --seed 8

python -m heads.export --checkpoint "$work/d/last.pt" "$work/e/last.pt" --out "$work/export" \
    $recipe --data "$data" --loud 1
python ranges.py $recipe --data "$data" --bundle "$work/export"
python -m heads.tune $recipe --data "$data" --bundle "$work/export" --revision "$revision" \
    > "$work/tune.json"
for split in dev test; do
    python -m heads.evaluate $recipe --data "$data" --bundle "$work/export" --split $split \
        --compare > "$work/$split.json"
done
python -m heads.baseline $recipe --data "$data" --split test \
    --heads failure_mode,cause,phase > "$work/linear.json"
python -m heads.fixture $recipe --bundle "$work/export"
python -m heads.card $recipe --bundle "$work/export" --reports "$work"
for file in model.onnx tokenizer.json bundle.json decoder_fixture.json README.md NOTICE; do
    cp "$work/export/$file" "$bundle/"
done
