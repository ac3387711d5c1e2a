#!/bin/sh
# Trains, exports, tunes and measures the clinical-notes bundle.
#   clinical-notes.sh DATA WORK BUNDLE REVISION
# DATA: folder of the data sets, each in its folder. WORK: scratch space.
set -eu
data=$1 work=$2 bundle=$3 revision=$4
cd "$(dirname "$0")"
mkdir -p "$work" "$bundle"

python -m clinical.pretrain --data "$data" --out "$work/first" --epochs 2
python -m heads.train --recipe clinical-notes --data "$data" --out "$work/second" \
    --init "$work/first/last.pt" --epochs 7 --tokens 256 --budget 2048 --lr 2.5e-4 --hide 0.12 \
    --dropout 0.12 --average 0.99 --seed 11

# 49 columns: 27 of entities, 3 of history, 19 of phi.
python -m heads.export --checkpoint "$work/second/last.pt" --columns 49 --tokens 144 --stride 110 \
    --cut sentences --out "$work/export"
python -m heads.tune --recipe clinical-notes --data "$data" --bundle "$work/export" \
    --revision "$revision" > "$work/tune.json"
for split in dev test; do
    python -m clinical.evaluate --data "$data" --bundle "$work/export" --split $split \
        > "$work/int8_$split.json"
    python -m clinical.evaluate --data "$data" --bundle "$work/export" --split $split \
        --model model.fp32.onnx > "$work/fp32_$split.json"
    python -m clinical.baseline --data "$data" --split $split > "$work/baseline_$split.json"
done
python -m heads.evaluate --recipe clinical-notes --data "$data" --bundle "$work/export" \
    --split test > "$work/heads_test.json"
python -m heads.fixture --recipe clinical-notes --bundle "$work/export"
python -m clinical.card --bundle "$work/export" --reports "$work"
for file in model.onnx tokenizer.json bundle.json decoder_fixture.json README.md; do
    cp "$work/export/$file" "$bundle/"
done
