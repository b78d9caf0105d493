#!/usr/bin/env bash
# Fuzzes a target of fuzz/, or all one after the other, so many seconds each, and prints a table. Inputs that reach new
# code are kept below target/fuzz, where the next call goes on; one that panics, takes more than ten seconds or 2 GiB ends
# its target, and lies in fuzz/artifacts. Needs nightly Rust and cargo-fuzz (cargo install cargo-fuzz --locked).
set -uo pipefail
cd "$(dirname "$0")/.."
kept=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
targets=$1
[ "$targets" != all ] || targets=$(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | tail -n +2)
# The versions of the workspace.
[ -e fuzz/Cargo.lock ] || cp Cargo.lock fuzz/
case $1 in
experiment | run_dir | request | image) features=--no-default-features ;; # without candle
*) features= ;;
esac
fuzz() { cargo +nightly fuzz "$1" --target-dir "$kept/build" $features "${@:2}"; }
fuzz build $([ "$1" = all ] || echo "$1") || exit
TMPDIR=$(mktemp -d -p "$([ -d /dev/shm ] && echo /dev/shm || echo /tmp)") && export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
failed=0
for target in $targets; do
    mkdir -p "$kept/corpus/$target"
    fuzz run "$target" "$kept/corpus/$target" "fuzz/corpus/$target" -- -max_total_time="$2" -timeout=10 \
        -rss_limit_mb=2048 -report_slow_units=1 -print_final_stats=1 -verbosity=1 >"$kept/$target.log" 2>&1
    code=$?
    awk -v target="$target" -v code=$code '
        { for (i = 1; i < NF; i++) if ($i == "cov:") coverage = $(i + 1) }
        /^#[0-9]+/ { executions = substr($1, 2) }
        /SUMMARY|panicked/ && !found { found = $0 }
        /Slowest unit: / { slow = ", slowest " $3 " s" }
        END { printf "%-12s %9d executions, %5d edges%s, %s\n", target, executions, coverage, slow,
              code ? "FOUND: " found : "nothing found" }' "$kept/$target.log"
    [ $code = 0 ] || { failed=1; echo "             see $kept/$target.log"; }
done
exit $failed
