#!/usr/bin/env bash
# Builds everything that scripts/gpu-check.py runs, with CUDA, and packs it for a machine that has a GPU but neither Rust nor
# a network: `just gpu-pack`. Unpack the archive there and run `python3 gpu-check/gpu-check.py`.
#
# `HASHLAB_PACK_FEATURES= just gpu-pack` packs programs without CUDA, to try the checks themselves on any machine.
set -euo pipefail
cd "$(dirname "$0")/.."
features=${HASHLAB_PACK_FEATURES-hashlab/cuda}
if [[ -n $features ]]; then
    # shellcheck source=scripts/cuda-env.sh
    source scripts/cuda-env.sh
fi
target=${CARGO_TARGET_DIR:-$PWD/target}
out=$PWD/target/gpu-check

build=(--release --package hashlab --package hashlab-methods --package hashlab-encoders --package hashlab-pipeline
    --package hashlab-kernels --package hashlab-bench --features "$features")
cargo build "${build[@]}" --bins
# The tests' files, as CRATE TEST FILE.
tests=$(cargo test "${build[@]}" --test golden --test conformance --test torchvision --test compute --test every_encoder --test training \
    --test convnet --test bert --test pipeline --test device --no-run --message-format json |
    python3 -c 'import json, pathlib, sys
for line in sys.stdin:
    at = json.loads(line)
    if at.get("executable") and at["target"]["kind"] == ["test"]:
        print(pathlib.Path(at["manifest_path"]).parent.name, at["target"]["name"], at["executable"])')

rm -rf "$out"
mkdir -p "$out/bin" "$out/tests"
cp "$target"/release/{hashlab,hashlab-bench,hashlab-synthetic} "$out/bin/"
while read -r crate name file; do cp "$file" "$out/tests/$crate-$name"; done <<<"$tests"
strip "$out"/bin/* "$out"/tests/*
cp core/encoders/tests/*.safetensors "$out/tests/"
cp -r golden "$out/golden"
cp -r bench/peers "$out/peers"
cp scripts/gpu-check.py scripts/gpu_*.py "$out/"
rm -rf "$out/peers/__pycache__"
# One dictionary over all programs: the kernels in them are the same.
tar -C "$out/.." --sort=name -c gpu-check | xz -T1 -6 --lzma2=preset=6,dict=256MiB >"$out.tar.xz"
du -h "$out.tar.xz"
