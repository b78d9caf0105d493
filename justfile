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

# All tests
test *ARGS:
    cargo test --release --workspace {{ ARGS }}

# What CI checks beside the tests: format, lints, documentation, licences
check:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D rustdoc::all -A rustdoc::private-doc-tests" cargo doc --release --workspace --no-deps --document-private-items
    cargo deny check bans licenses sources

# Benchmarks, as ratios against a peer where there is one
bench *ARGS:
    cargo bench --workspace --benches {{ ARGS }}

# The crates' documentation, in the browser
doc:
    cargo doc --release --workspace --no-deps --open

# Render docs/results again from the committed results.jsonl files
results:
    for file in docs/results/*.jsonl; do cargo hashlab table "$file" --format markdown > "${file%.jsonl}.md"; done
