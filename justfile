# Commands for users and developers; bare `just` lists them.

[private]
default:
    @just --list --unsorted

# Run an experiment and print its table; without a file, the built-in quickstart
sweep *ARGS:
    cargo sweep {{ ARGS }}

# Any other command of the program, e.g. `just hashlab table cifar10 --format latex`
hashlab *ARGS:
    cargo hashlab {{ ARGS }}

# Write a small working method and register it, e.g. `just new-method bi_half`; see CONTRIBUTING.md
new-method NAME="":
    @scripts/new-method.sh {{ quote(NAME) }}

# All tests
test *ARGS:
    cargo test --release --workspace {{ ARGS }}

# What CI checks beside the tests: format, lints, documentation, licences
check:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D rustdoc::all -A rustdoc::private-doc-tests" cargo doc --release --workspace --no-deps --document-private-items
    cargo deny check bans licenses sources

# Our times beside PyTorch's for the same work, e.g. `just bench head ranking`; see docs/performance.md
bench *ARGS:
    cargo build --release --package hashlab-bench
    python3 bench/compare.py {{ ARGS }}

# A method's first 100 training steps beside PyTorch's, e.g. `just fidelity cibhash`; see docs/fidelity.md
fidelity METHOD="cibhash":
    cargo build --release
    python3 bench/fidelity.py steps {{ METHOD }}

# The mAP of trainings over several seeds beside that of PyTorch's own trainings
fidelity-seeds METHOD="cibhash":
    cargo build --release
    python3 bench/fidelity.py seeds {{ METHOD }}

# The crates' documentation, in the browser
doc:
    cargo doc --release --workspace --no-deps --open

# Render docs/results again from the committed results.jsonl files
results:
    for file in docs/results/*.jsonl; do cargo hashlab table "$file" --format markdown > "${file%.jsonl}.md"; done
