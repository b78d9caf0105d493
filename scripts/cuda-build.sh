#!/usr/bin/env bash
# Builds hashlab with CUDA: `just cuda-build`. The first build takes half an hour and more on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/cuda-env.sh
source scripts/cuda-env.sh

cargo build --release --package hashlab --features cuda "$@" || fail "the build failed; see above"
cp scripts/hashlab-cuda "$CARGO_TARGET_DIR/release/"
echo "$CARGO_TARGET_DIR/release/hashlab-cuda"
