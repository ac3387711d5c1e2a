#!/usr/bin/env bash
# What the worker does on a card, in under ten minutes, without network and building nothing:
#
#     benches/gpu.sh FOLDER [--price DOLLARS_AN_HOUR] [--peak TFLOPS]
#     benches/gpu.sh prepare FOLDER [TEXTS]     # fills FOLDER where there are network, Rust and Python; PYTHON=python3 with onnx
#
# FOLDER holds
#     bin/sluice, bin/gpu-bench                           `cargo build --release`; `cargo bench --no-run --bench gpu`
#     lib/libonnxruntime.so, lib/libonnxruntime_providers_{cuda,shared}.so, lib/libpdfium.so     scripts/image-rootfs
#     cuda/                                               libraries of CUDA 13 and cuDNN 9, where the machine has none
#     {fp16,fp32,int8}/models/contracts                   the bundle, see training/half.py
#     {fp16,fp32,int8}/pipelines/contracts                pipeline.yaml and record.avsc
#     texts/                                              documents as plain text
set -euo pipefail

fail() {
    echo "benches/gpu.sh: $*" >&2
    exit 1
}

prepare() {
    local folder texts=${2:-} python=${PYTHON:-python3} kind scratch
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
    [ -z "$texts" ] || texts=$(cd "$texts" && pwd)
    cd "$(dirname "$0")/.."
    "$python" -c 'import onnx' 2>/dev/null || fail "\`$python\` has no onnx; set PYTHON to one with training/requirements.txt"
    cargo build --locked --release --bin sluice
    scratch=$(mktemp -d)
    scripts/image-rootfs target/release/sluice "$scratch/root" cuda
    mkdir -p "$folder/bin" "$folder/texts" "$folder/cuda"
    cp -r "$scratch/root/opt/sluice/bin" "$scratch/root/opt/sluice/lib" "$folder/"
    cargo bench --locked --no-run --bench gpu --message-format=json |
        grep -oE '"executable":"[^"]*/gpu-[^"]*"' | cut -d'"' -f4 | while read -r path; do cp "$path" "$folder/bin/gpu-bench"; done
    [ -x "$folder/bin/gpu-bench" ] || fail "cargo named no program for the bench \`gpu\`"
    "$python" training/half.py models/contracts "$scratch"
    mkdir -p "$folder"/{int8,fp16,fp32}/{models,pipelines}
    for kind in fp16 fp32; do
        rm -rf "$folder/$kind/models/contracts"
        cp -r "$scratch/contracts-$kind" "$folder/$kind/models/contracts"
    done
    cp -r models/contracts "$folder/int8/models/"
    for kind in int8 fp16 fp32; do
        mkdir -p "$folder/$kind/pipelines/contracts"
        cp pipelines/contracts/*.yaml pipelines/contracts/*.avsc "$folder/$kind/pipelines/contracts/"
    done
    cp "${texts:-pipelines/contracts/samples}"/*.txt "$folder/texts/"
    rm -rf "$scratch"
    echo "benches/gpu.sh: $folder is ready; $(find "$folder/texts" -type f | wc -l) texts"
}

# Peak of dense half precision products, TFLOPS, by NVIDIA's data sheets (half of what they give "with sparsity").
peak_of() {
    case $1 in
    *H200* | *H100*SXM* | *H100*HBM3*) echo 989 ;;
    *H100*PCIe*) echo 756 ;;
    *L4) echo 121 ;;
    *A10) echo 125 ;;
    *T4) echo 65 ;;
    *) echo 0 ;;
    esac
}

folder=${1:-}
[ -n "$folder" ] || fail "give the folder, or: prepare FOLDER [TEXTS]"
if [ "$folder" = prepare ]; then
    shift
    [ -n "${1:-}" ] || fail "prepare: give the folder"
    prepare "$@"
    exit
fi
shift
price=0 peak=0
while [ $# -gt 0 ]; do
    case $1 in
    --price) price=${2:?benches/gpu.sh: --price: give dollars an hour} ;;
    --peak) peak=${2:?benches/gpu.sh: --peak: give TFLOPS} ;;
    *) fail "\`$1\`: give --price or --peak" ;;
    esac
    shift 2
done
folder=$(cd "$folder" && pwd)
for path in bin/sluice lib/libonnxruntime.so fp16/models/contracts/bundle.json fp16/pipelines/contracts/pipeline.yaml texts; do
    [ -e "$folder/$path" ] || fail "$folder/$path: is missing; \`benches/gpu.sh prepare\` makes it"
done
export LD_LIBRARY_PATH="$folder/cuda${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export ORT_DYLIB_PATH="$folder/lib/libonnxruntime.so" SLUICE_PDFIUM_PATH="$folder/lib/libpdfium.so"
scratch=$(mktemp -d)
sampler=
trap '[ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true; rm -rf "$scratch"' EXIT

extract() {
    "$folder/bin/sluice" extract "$folder/$1/pipelines/contracts" "$2" --device "$3" --cache-bytes 0 --log-format text 2>"$scratch/said"
}

# The worker itself says what is missing.
first=$(find "$folder/texts" -type f | sort | head -1)
extract fp16 "$first" cuda >/dev/null || {
    cat "$scratch/said" >&2
    fail "the worker does not run on a card of this machine (its message is above)"
}

card=$(nvidia-smi --query-gpu=name --format=csv,noheader --id=0)
echo "card: $card; driver: $(nvidia-smi --query-gpu=driver_version --format=csv,noheader --id=0); date: $(date -u +%F); cores: $(nproc)"
[ "$peak" != 0 ] || peak=$(peak_of "$card")

sample() {
    nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits --id=0 --loop-ms=200 >"$scratch/busy" &
    sampler=$!
}
busy() {
    kill "$sampler" 2>/dev/null || true
    wait "$sampler" 2>/dev/null || true
    sampler=
    awk '{sum += $1} END {printf "%.0f %% of the time a kernel ran", NR ? sum / NR : 0}' "$scratch/busy"
}
bench() { "$folder/bin/gpu-bench" "$@"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.3f", b > 0 ? a / b : 0}'; }

# The ceiling before and after, since the card's clock changes with its heat.
before=$(bench ceiling "$folder" fp16 cuda 15)
sample
pool=$(bench pool "$folder" fp16 cuda 30)
shown=$(busy)
after=$(bench ceiling "$folder" fp16 cuda 15)
echo "raw ONNX Runtime, tokens/s: ${before} before, ${after} after"
ceiling=$(awk -v a="${before%% *}" -v b="${after%% *}" 'BEGIN {print (a + b) / 2}')
echo "pool of the worker: $pool tokens/s, $(ratio "$pool" "$ceiling") of the ceiling; $shown"
cores=$(bench pool "$folder" int8 cpu 30)
echo "the same pool on $(nproc) cores, int8: $cores tokens/s; the card $(ratio "$pool" "$cores") times that"
# A token of a window of 256: 6 layers of 12 * 384^2 products for weights and 2 * 256 * 384 for attention, two operations each.
flops=$(awk -v t="$pool" 'BEGIN {print t * 2 * 6 * (12 * 384 * 384 + 2 * 256 * 384) / 1e12}')
echo "that is $flops TFLOPS, $(ratio "$flops" "$peak") of $peak at most"

# Files in, JSON lines out, no Kafka; less what one document takes, which is the start.
seconds() {
    local begun=$EPOCHREALTIME
    extract "$@" >"$scratch/out"
    awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}'
}
count=$(find "$folder/texts" -type f | wc -l)
for device in cuda:fp16 cpu:int8; do
    start=$(seconds "${device#*:}" "$first" "${device%:*}")
    if [ "${device%:*}" = cuda ]; then sample; fi
    all=$(seconds "${device#*:}" "$folder/texts" "${device%:*}")
    shown=
    if [ "${device%:*}" = cuda ]; then shown="; $(busy)"; fi
    rate=$(awk -v n="$count" -v all="$all" -v start="$start" 'BEGIN {print all > start ? (n - 1) / (all - start) : 0}')
    echo "from files to outcomes on ${device%:*} (${device#*:}): $rate documents/s, one reader$shown"
    [ "${device%:*}" = cpu ] || awk -v p="$price" -v r="$rate" 'BEGIN {if (p > 0 && r > 0) printf "a million documents: %.2f dollars at %.2f an hour\n", p / 3600 / r * 1e6, p}'
done
bench same "$folder" cuda || fail "what should be the same is not (above)"
