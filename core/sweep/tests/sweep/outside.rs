//! Diagnostics of an invalid variable or flag.

use insta::assert_snapshot;

use crate::{diagnostics_under, planned_under, with_method};

/// A valid file, to be broken from outside.
const SOUND: &str = "dataset = \"toy\"\nbits = [16]\n\n[[method]]\nname = \"waves\"\ngrid = { tau = [0.2, 0.3] }\n";

#[test]
fn a_variable_is_named_and_shown() {
    let env = [
        ("HASHLAB_SET_TRAIN__EPOHCS", "5"),
        ("HASHLAB_SET_BITS", "[16, 0]"),
        ("HASHLAB_SET_TRAIN__EPOCHS", "0"),
        ("HASHLAB_SET_", "3"),
        ("PATH", "/bin"),
    ];
    assert_snapshot!(diagnostics_under(SOUND, &env, &[]));
}

#[test]
fn a_flag_is_named_and_shown() {
    let set = [
        "train.epohcs=5",
        "seeds=0",
        "method.tau=0.5",
        "tau=0.5",
        "train.rate=fast",
        "image.encoder=7",
        "dataset=toi",
        "backbone.size=32",
    ];
    assert_snapshot!(diagnostics_under(SOUND, &[], &set));
}

#[test]
fn a_flag_without_a_value_is_no_setting() {
    assert_snapshot!(diagnostics_under(SOUND, &[], &["seeds", "bits=[16,"]));
}

#[test]
fn what_other_languages_write_is_translated() {
    let set = ["train.rate=.001", "train.nesterov=True", "train.epochs=5 # five", "train.clip=0,5"];
    assert_snapshot!(diagnostics_under(SOUND, &[], &set));
}

#[test]
fn blanks_around_a_flags_parts_are_no_part_of_them() {
    for flag in ["train.epochs=50\r", "train.epochs = 50", "train.epochs= 50"] {
        assert_eq!(planned_under(SOUND, &[], &[flag]).runs[0].config().train["epochs"], 50, "{flag:?}");
    }
}

#[test]
fn the_uppermost_setting_that_breaks_a_rule_is_blamed() {
    let file = format!("{SOUND}train.warmup = 30\n\n[train]\nwarmup = 20\n");
    assert_snapshot!(diagnostics_under(&file, &[("HASHLAB_SET_TRAIN__EPOCHS", "10")], &[]));
    assert_snapshot!(diagnostics_under(
        &with_method("name = \"waves\""),
        &[("HASHLAB_SET_TRAIN__EPOCHS", "300")],
        &["train.warmup=400"]
    ));
    let shared = format!("{SOUND}\n[train]\nwarmup = 20\n");
    let text = diagnostics_under(&shared, &[], &["train.epochs=15"]);
    assert!(text.contains("= help: `warmup` is 20 (experiments/toy.toml)"), "{text}");
}
