//! Files of version 0.1: the diagnostics say what the keys are called now.

use insta::assert_snapshot;

use crate::{diagnostics, with_method};

#[test]
fn a_file_of_version_0_1_learns_the_new_names() {
    assert_snapshot!(diagnostics(
        r#"dataset = "toy"
bits = [16]

[backbone]
name = "tiny"
size = 32
views = 10

[[arm]]
method = "waves"
grid = { "backbone.views" = [2] }
"#
    ));
}

#[test]
fn old_keys_in_new_tables_learn_their_names() {
    let method = r#"name = "waves"
method = "waves"
backbone = { cut = "fc6" }
image = { size = 32 }
grid = { "backbone.size" = [32], "image.compute" = ["bf16"] }"#;
    assert_snapshot!(diagnostics(&with_method(method)));
    assert_snapshot!(diagnostics(&with_method("method = \"waves\"")));
}
