#!/bin/sh
# Writes methods/src/NAME.rs, a small working method, and registers it: `just new-method NAME`.
# The method is a copy of the one in examples/external-method. Exit code 2: NAME is refused.
set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."
template=examples/external-method/src/two_views.rs
registry=methods/src/lib.rs
name=${1-}
file=methods/src/$name.rs
type=$(echo "$name" | awk -F_ '{ for (i = 1; i <= NF; i++) printf "%s%s", toupper(substr($i, 1, 1)), substr($i, 2) }')

refuse() {
    echo "error: $1" >&2
    echo "help: usage is \`just new-method NAME\`, e.g. \`just new-method bi_half\`" >&2
    exit 2
}

# A name is snake_case and not yet used: by a method, by Rust, or by the template's code.
case $name in
'') refuse 'the name of the method is missing' ;;
main) refuse "$file would be a program" ;;
[!a-z]* | *[!a-z0-9_]* | *__* | *_) refuse "\`$name\` is not snake_case: a letter, then letters, digits and single underscores" ;;
abstract | async | await | become | box | break | const | continue | crate | do | dyn | else | enum | extern | false | \
    final | fn | for | gen | if | impl | in | let | loop | macro | match | mod | move | mut | override | priv | \
    pub | ref | return | self | static | struct | super | trait | true | try | type | typeof | unsafe | unsized | use | \
    virtual | where | while | yield) refuse "\`$name\` is a word of Rust" ;;
esac
if [ -e "$file" ]; then refuse "$file exists"; fi
if grep -qrF "name: \"$name\"" methods/src; then refuse "a method called \`$name\` is registered"; fi
if sed 's|//.*||' "$template" | grep -qwe "$name" -e "$type"; then
    refuse "\`$name\`, or \`$type\`, already has a meaning in the code of a method"
fi

sed -e "s/two_views/$name/g" -e "s/TwoViews/$type/g" "$template" >"$file"

# `cargo fmt` sorts the modules. METHODS has the order of tables; the new method comes last.
awk -v module="pub mod $name;" -v entry="MethodEntry::trained::<$name::$type>()" '
    /^pub mod / && !listed { print module; listed = 1 }
    /^pub const METHODS/ { inside = 1 }
    inside && /^\];$/ { print entry ","; inside = 0 }
    inside && /\];$/ { sub(/\];$/, ", " entry "];"); inside = 0 }
    { print }
' "$registry" >"$registry.new"
mv "$registry.new" "$registry"
cargo fmt --package hashlab-methods
echo "wrote $file and registered it in $registry; next: cargo test --release --workspace --test conformance"
