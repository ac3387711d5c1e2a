#!/bin/sh
# Trains, exports, tunes and measures the contracts bundle.
#   contracts.sh DATA WORK BUNDLE REVISION
# DATA: folder with {train,dev,test}.jsonl.gz, labels.json and pdf/. WORK: scratch space. All of
# them absolute. SLUICE names the program, PIPELINE the folder that uses BUNDLE, where they are not
# those of this repository.
set -eu
data=$1 work=$2 bundle=$3 revision=$4
cd "$(dirname "$0")"
mkdir -p "$work" "$bundle"

python train.py --data "$data" --out "$work/first" --epochs 5 --lr 3e-4
python train.py --data "$data" --out "$work/second" --resume "$work/first/last.pt" \
    --epochs 2 --lr 1.5e-4 --head-lr 5e-4 --rare-power 0.5 --rare-passes 2 --seed 8
python train.py --data "$data" --out "$work/third" --resume "$work/first/last.pt" \
    --epochs 2 --lr 1.5e-4 --head-lr 5e-4 --rare-power 0.5 --rare-passes 2 --seed 21 \
    --negatives 0.6 --window-weight 0.3
python average.py "$work/mean.pt" "$work/second/last.pt" "$work/third/last.pt"

python export.py --checkpoint "$work/mean.pt" --out "$work/export"
python tune.py --data "$data" --bundle "$work/export" --revision "$revision" > "$work/tune.json"
python gate.py --data "$data" --bundle "$work/export" --revision "$revision" > "$work/gate.json"
for split in dev test; do
    python evaluate.py --data "$data" --bundle "$work/export" --split $split > "$work/int8_$split.json"
    python evaluate.py --data "$data" --bundle "$work/export" --split $split \
        --ungated > "$work/whole_$split.json"
    python evaluate.py --data "$data" --bundle "$work/export" --split $split --ungated \
        --model model.fp32.onnx > "$work/fp32_$split.json"
    python baseline.py --data "$data" --split $split > "$work/baseline_$split.json"
done
python fixture.py --data "$data" --bundle "$work/export"
take() {
    for file in "$@"; do
        cp "$work/export/$file" "$bundle/"
    done
}
take model.onnx tokenizer.json gate.bin bundle.json decoder_fixture.json

# The text of PDFs is read by the worker itself, with the bundle of its pipeline.
sluice=${SLUICE:-../target/release/sluice} pipeline=${PIPELINE:-../pipelines/contracts}
"$sluice" eval "$pipeline" --data "$data/test.jsonl.gz" --format json > "$work/gated_test.json"
for split in dev test; do
    "$sluice" eval "$pipeline" \
        --data "$data/$split.jsonl.gz" --pdf "$data/pdf" --format json > "$work/pdf_$split.json"
done
python card.py --data "$data" --bundle "$work/export" --reports "$work"
take bundle.json README.md
