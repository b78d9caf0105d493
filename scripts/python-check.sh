#!/usr/bin/env bash
# Runs the commands and the Python of docs/python.md, in their order, in an empty directory. Needs the program built, and
# python3 with venv; installs the packages of the page into target/python-venv.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
venv=$target/python-venv
[ -x "$venv/bin/mlflow" ] || {
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        pandas==3.1.1 pyarrow==25.0.1 duckdb==2.0.1 tensorboard==2.21.0 faiss-cpu==1.15.1 mlflow==3.17.2
}
page=$PWD/docs/python.md
work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill -- "-$server" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
cd "$work"
PATH=$target/release:$venv/bin:$PATH
hashlab sweep >/dev/null
set -m
MLFLOW_DISABLE_TELEMETRY=true mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri "sqlite:///$work/mlflow.db" \
    >server.log 2>&1 &
server=$!
set +m
for _ in $(seq 120); do
    if python3 -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:5000/health")' 2>/dev/null; then break; fi
    sleep 1
done
python3 - "$page" <<'PYTHON'
import re, subprocess, sys
for language, block in re.findall(r"```(sh|python)\n(.*?)```", open(sys.argv[1]).read(), re.S):
    print("---", block.strip().splitlines()[0], flush=True)
    subprocess.run(["bash", "-euc", block] if language == "sh" else ["python3", "-c", block], check=True)
PYTHON
hashlab export quickstart --to mlflow --url http://127.0.0.1:5000 >/dev/null # again: nothing is sent twice
echo "docs/python.md runs as it stands"
