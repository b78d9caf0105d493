#!/usr/bin/env bash
# Runs the tests whose results depend on the processor's instructions, under each set narrower than its widest one.
set -euo pipefail
flags=" $(grep -m1 '^flags' /proc/cpuinfo || true) "
caps=()
[[ $flags != *" avx512f "* ]] || caps+=(avx2)
[[ $flags != *" amx_tile "* ]] || caps+=(avx512)
[ ${#caps[@]} != 0 ] || echo "the processor has no instructions wider than AVX2: the usual tests are those of its widest set"
for cap in "${caps[@]}"; do
    echo "HASHLAB_CPU=$cap"
    HASHLAB_CPU=$cap cargo test --release --workspace --test conv --test linear --test loss --test norm --test stacked \
        --test transformer --test metrics --test index --test exactness --test transforms --test golden --test torchvision --test conformance
done
