#!/bin/sh
# Trains, exports, tunes and measures the contracts bundle.
#   contracts.sh DATA WORK BUNDLE REVISION
# DATA: folder with {train,dev,test}.jsonl.gz and labels.json. WORK: scratch space.
set -eu
data=$1 work=$2 bundle=$3 revision=$4
cd "$(dirname "$0")"
mkdir -p "$work" "$bundle"

python train.py --data "$data" --out "$work/first" --epochs 5 --lr 3e-4
python train.py --data "$data" --out "$work/second" --resume "$work/first/last.pt" \
    --epochs 3 --lr 1.5e-4 --head-lr 5e-4 --rare-power 0.5 --rare-passes 2 --seed 8
python average.py "$work/average.pt" "$work/first/last.pt" "$work/second/last.pt"

python export.py --checkpoint "$work/average.pt" --out "$work/export"
python tune.py --data "$data" --bundle "$work/export" --revision "$revision" > "$work/tune.json"
for split in dev test; do
    python evaluate.py --data "$data" --bundle "$work/export" --split $split > "$work/int8_$split.json"
    python evaluate.py --data "$data" --bundle "$work/export" --split $split \
        --model model.fp32.onnx > "$work/fp32_$split.json"
    python baseline.py --data "$data" --split $split > "$work/baseline_$split.json"
done
python fixture.py --data "$data" --bundle "$work/export"
python card.py --data "$data" --bundle "$work/export" --reports "$work"
for file in model.onnx tokenizer.json bundle.json decoder_fixture.json README.md; do
    cp "$work/export/$file" "$bundle/"
done
