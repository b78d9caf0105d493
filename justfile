# Commands for users and developers; bare `just` lists them.

[private]
default:
    @just --list --unsorted

# Run an experiment and print its table; without a file, the built-in quickstart
sweep *ARGS:
    cargo run --release --package hashlab -- sweep {{ ARGS }}

# Any command of the program, e.g. `just hashlab table cifar10 --format latex`
hashlab *ARGS:
    cargo run --release --package hashlab -- {{ ARGS }}

# Write a small working method and register it, e.g. `just new-method bi_half`; see CONTRIBUTING.md
new-method NAME="":
    @scripts/new-method.sh {{ quote(NAME) }}

# All tests
test *ARGS:
    cargo test --release --workspace {{ ARGS }}

# Tests of pages in headless Chromium; needs Node.js 20 or later and Chromium ($CHROMIUM, or /usr/bin/chromium)
test-browser:
    cargo build --release --workspace --bins --examples
    "${CARGO_TARGET_DIR:-target}/release/examples/pages" "${CARGO_TARGET_DIR:-target}/tmp/pages"
    npm --prefix tests/browser ci --no-audit --no-fund
    PAGES="$(realpath "${CARGO_TARGET_DIR:-target}/tmp/pages")" HASHLAB="$(realpath "${CARGO_TARGET_DIR:-target}/release/hashlab")" \
        npm --prefix tests/browser test

# Sweeps on a real Slurm cluster of one node, which it brings up (Debian, root); `--short` without Slurm's time limit
test-slurm *ARGS:
    cargo build --release --package hashlab
    scripts/slurm-node.sh up
    SLURM_CONF="${SLURM_NODE:-/tmp/hashlab-slurm}/slurm.conf" python3 scripts/test_slurm.py \
        --program "${CARGO_TARGET_DIR:-target}/release/hashlab" {{ ARGS }}; \
        code=$?; scripts/slurm-node.sh down; exit $code

# Sweeps under faults, which the same command must finish as if undisturbed, e.g. `just soak --scenarios 50 --short`
soak *ARGS:
    cargo build --release --package hashlab
    python3 scripts/soak --program "${CARGO_TARGET_DIR:-target}/release/hashlab" {{ ARGS }}

# Fuzz the readers of users' files, all or one, so many seconds each, e.g. `just fuzz mat_v5 300`; needs cargo-fuzz, nightly Rust
fuzz TARGET="all" SECONDS="60":
    @scripts/fuzz.sh {{ quote(TARGET) }} {{ quote(SECONDS) }}

# Tests of encoders and methods on candle's own operations, as on other devices; without those of bits that vary by batch
test-plain:
    cargo test --release --workspace --features hashlab-kernels/plain --test golden --test torchvision --test compute \
        --test training --test convnet --test bert --test pipeline --test conformance \
        -- --skip features_do_not_depend_on_batch_or_threads --skip features_depend_on_a_texts_tokens_alone

# Tests of kernels, networks, methods, ranking, search and resizing under each set of instructions narrower than the processor's widest
test-caps:
    @scripts/test-caps.sh

# Build hashlab for NVIDIA GPUs, with an installed CUDA toolkit or one from PyPI; needs no GPU
cuda-build *ARGS:
    @scripts/cuda-build.sh {{ ARGS }}

# Lints of the code for NVIDIA GPUs, with the same toolkit; needs no GPU
cuda-check:
    @bash -c 'source scripts/cuda-env.sh && \
        cargo clippy --release --package hashlab --package hashlab-bench --features hashlab/cuda -- -D warnings && \
        cargo clippy --release --package hashlab-kernels --features hashlab-kernels/cuda --tests -- -D warnings'

# Pack programs, tests and checks for a machine with a GPU: target/gpu-check.tar.xz
gpu-pack:
    @scripts/gpu-pack.sh

# Run the packed checks here, e.g. `just gpu-check --device cuda:1`; on another machine: python3 gpu-check/gpu-check.py
gpu-check *ARGS:
    @python3 scripts/gpu-check.py --pack target/gpu-check {{ ARGS }}

# CI's checks beside the tests: format, lints, documentation, licenses; needs cargo-deny
check:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D rustdoc::all -A rustdoc::private-doc-tests" cargo doc --release --workspace --no-deps --document-private-items
    cargo deny check bans licenses sources

# The first steps of every file in experiments/, on random weights and small files; takes minutes
test-experiments:
    cargo test --release --workspace --test experiments -- --ignored

# Times of hashlab and of PyTorch for the same work, e.g. `just bench head ranking`; see docs/performance.md
bench *ARGS:
    cargo build --release --workspace
    python3 bench/compare.py {{ ARGS }}

# A method's first 100 training steps, repeated in PyTorch, e.g. `just fidelity cibhash`; see docs/fidelity.md
fidelity METHOD="cibhash":
    cargo build --release
    python3 bench/fidelity.py steps {{ METHOD }}

# The mAP of whole trainings over several seeds, beside the mAP of PyTorch's
fidelity-seeds METHOD="cibhash":
    cargo build --release
    python3 bench/fidelity.py seeds {{ METHOD }}

# Run docs/python.md: exports read by pandas, DuckDB, TensorBoard, faiss and a real MLflow server; needs python3
python-check:
    cargo build --release --package hashlab
    @scripts/python-check.sh

# A wheel with the program for `pip install`, tested in an empty environment: target/wheels; needs python3
wheel:
    @scripts/wheel.sh

# Build the crates' documentation and open it in the browser
doc:
    cargo doc --release --workspace --no-deps --open

# Render the tables of docs/results again from the committed .jsonl files
results:
    for file in docs/results/*.jsonl; do \
        cargo run --release --package hashlab -- table "$file" --format markdown > "${file%.jsonl}.md" || exit; \
    done

# Typeset the LaTeX tables of docs/results, and one with odd labels; needs pdflatex (texlive-latex-base)
latex-check:
    cargo build --release --package hashlab
    @scripts/latex-check.sh
