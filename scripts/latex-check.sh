#!/usr/bin/env bash
# Typesets the LaTeX tables of docs/results, and one with odd labels, with pdflatex: needs texlive-latex-base.
# usage: scripts/latex-check.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:-target/release/hashlab}")
results=(docs/results/*.jsonl)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A label per row: what TeX reads as commands, what fonts lack, what is no letter.
cat > "$work/odd_name.toml" <<'TOML'
dataset = "shapes"
bits = [8]
seeds = [0, 1]
[data]
items = 60
size = 16
[image]
image_size = 16
[[method]]
name = "lsh"
label = '100 % & $x_1^2$ #{a} ~ \textbf{b} \'
[[method]]
name = "pcah"
label = '≥ ½ ² µ β τ → ± … — “quoted” ‘single’'
[[method]]
name = "itq"
label = 'Größe, naïve, Łódź, İstanbul, Ωmega'
[[method]]
name = "sh"
label = '[x] <y> |z| "w" ``v'
[[method]]
name = "sph"
label = '汉字 かな 한글 עברית 🙂 résumé'
[[method]]
name = "dgh"
label = '-- --- !` ?` ,, fi ffi'
TOML
(cd "$work" && "$program" sweep odd_name.toml --format latex > odd_name.table 2> sweep.log) || { cat "$work/sweep.log"; exit 1; }
for file in "${results[@]}"; do
    "$program" table "$file" --format latex --metric ndcg_at_k > "$work/$(basename "$file" .jsonl).table"
done

"$program" table docs/results/cifar10.jsonl docs/results/cifar10_finetune.jsonl --format latex > "$work/joined.table"

failed=0
for table in "$work"/*.table; do
    name=$(basename "$table" .table)
    {
        printf '%s\n' '\documentclass{article}' '\usepackage{booktabs}' '\begin{document}'
        cat "$table"
        printf '%s\n' '\end{document}'
    } > "$work/$name.tex"
    if (cd "$work" && pdflatex -halt-on-error -interaction=nonstopmode "$name.tex" > "$name.out" 2>&1); then
        wide=$(grep -c '^Overfull' "$work/$name.out" || true)
        missing=$(grep -c '^Missing character' "$work/$name.log" || true)
        echo "$name: typeset; $wide lines too wide, $missing characters missing"
        [ "$missing" = 0 ] || { grep '^Missing character' "$work/$name.log"; failed=1; }
    else
        echo "$name: FAILED"
        grep -A5 '^!' "$work/$name.out" || tail -5 "$work/$name.out"
        failed=1
    fi
done
exit "$failed"
