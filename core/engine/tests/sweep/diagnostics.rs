//! What a user reads when an experiment is wrong.

use insta::assert_snapshot;

use crate::{mistakes, mistakes_under, read_under};

/// A file in order, to be broken from outside.
const SOUND: &str = "dataset = \"toy\"\nbits = [16]\n\n[[arm]]\nmethod = \"waves\"\ngrid = { tau = [0.2, 0.3] }\n";

fn with_arm(arm: &str) -> String {
    format!("dataset = \"toy\"\nbits = [16]\n\n[[arm]]\n{arm}\n")
}

#[test]
fn every_value_of_a_grid_is_checked() {
    let arm = "method = \"waves\"\ngrid = { tua = [0.1], steps = [10, 0, 2.5], tau = [0.2, -1] }";
    assert_snapshot!(mistakes(&with_arm(arm)));
}

#[test]
fn what_changes_nothing_is_a_mistake() {
    let arm = "method = \"waves\"\nparams = { loss = \"hinge\", low = 0.2 }\ntrain = { nesterov = true }\n\
               grid = { \"train.warmup\" = [3, 4] }";
    assert_snapshot!(mistakes(&with_arm(arm)));
}

#[test]
fn a_key_that_matters_at_some_points_of_a_grid_is_none() {
    let arm = "method = \"waves\"\ngrid = { loss = [\"hinge\", \"cosine\"], low = [0.1, 0.2] }";
    assert_eq!(read_under(&with_arm(arm), &[], &[]).err().map(|mistakes| mistakes.to_string()), None);
}

#[test]
fn all_mistakes_of_a_file_are_reported_together() {
    assert_snapshot!(mistakes(
        r#"# Why is this file wrong?
dataset = "toys"
protocl = "toy-1"
bits = 16
seeds = [0, 1, 0, -1]
epochs = 5

[backbone]
views = "two"

[train]
epochs = true
rate = [0.1]

[[arm]]
method = "wave"

[[arm]]
method = "waves"
tau = 0.3
params = { epochs = 3, loss = "cosin" }
"#
    ));
}

#[test]
fn axes_are_lists_without_repetition() {
    assert_snapshot!(mistakes(
        r#"
dataset = "toy"
bits = [16, 0, 16, 2048, "32"]
seeds = []
split_seed = -1

[[arm]]
method = "waves"
bits = [32, 32]
grid = { tau = 0.2, steps = [], low = [0.1, 0.10], "train.rate" = [1, 1.0] }
"#
    ));
}

#[test]
fn a_key_is_fixed_or_varied_once() {
    let arm = r#"method = "waves"
params = { tau = 0.2 }
train.epochs = 5
grid = { tau = [0.3], "train.epochs" = [6], train = { rate = [0.1] }, "train.rate" = [0.2] }"#;
    assert_snapshot!(mistakes(&with_arm(arm)));
}

#[test]
fn what_a_method_cannot_heed_has_no_place_in_its_arm() {
    let arm = r#"method = "prism"
train = { epochs = 5 }
backbone = { views = 10 }
grid = { rounds = [10, 20], "backbone.views" = [2, 10], "train.epochs" = [5], "eval.map_at" = [1] }"#;
    assert_snapshot!(mistakes(&with_arm(arm)));
}

#[test]
fn constraints_between_keys_are_judged_in_the_merged_table() {
    assert_snapshot!(mistakes(
        r#"
dataset = "toy"
bits = [16]

[train]
epochs = 20

[[arm]]
method = "waves"
train = { epochs = 5 } # the default warm-up is longer

[[arm]]
method = "waves"
train = { epochs = 5, warmup = 5 }
params = { high = 0.5 }
grid = { low = [0.4, 0.5, 0.6] } # two of these are not below `high`
"#
    ));
}

#[test]
fn no_single_key_to_blame_means_the_arm_is_blamed() {
    let arm = "method = \"waves\"\nparams = { low = 2.0, high = -1.0 }";
    assert_snapshot!(mistakes(&with_arm(arm)));
}

#[test]
fn a_row_belongs_to_one_method() {
    let arms = "method = \"waves\"\nlabel = \"Ours\"\n\n[[arm]]\nmethod = \"prism\"\nlabel = \"Ours\"\n\n[[arm]]\nmethod = \"prism\"\nlabel = \" \"";
    assert_snapshot!(mistakes(&with_arm(arms)));
}

#[test]
fn an_empty_file_lacks_everything() {
    assert_snapshot!(mistakes(""));
}

#[test]
fn tables_and_lists_are_not_mixed_up() {
    assert_snapshot!(mistakes(
        "dataset = \"toy\"\nbits = [16]\ntrain = 5\narm = [\n  { method = 3 },\n  \"waves\",\n  { label = \"x\" },\n]\n"
    ));
}

#[test]
fn arms_are_written_with_two_brackets() {
    assert_snapshot!(mistakes("dataset = \"toy\"\n\n[arm]\nmethod = \"waves\"\n"));
}

#[test]
fn syntax_is_reported_like_everything_else() {
    assert_snapshot!(mistakes("dataset = \"toy\nbits = [16, 32\n\n[[arm]\nmethod = \"waves\"\nmethod = \"prism\"\n"));
}

#[test]
fn numbers_are_finite_and_dates_are_none() {
    assert_snapshot!(mistakes("[train]\nrate = nan\nepochs = 99999999999999999999\nwarmup = 2026-01-01\n"));
}

#[test]
fn a_protocol_belongs_to_its_data_set() {
    assert_snapshot!(mistakes(&format!("protocol = \"toy1\"\n{SOUND}")));
}

#[test]
fn a_variable_is_named_and_shown() {
    let env = [
        ("HASHLAB_SET_TRAIN__EPOHCS", "5"),
        ("HASHLAB_SET_BITS", "[16, 0]"),
        ("HASHLAB_SET_TRAIN__EPOCHS", "0"),
        ("HASHLAB_SET_", "3"),
        ("PATH", "/bin"),
    ];
    assert_snapshot!(mistakes_under(SOUND, &env, &[]));
}

#[test]
fn a_flag_is_named_and_shown() {
    let set =
        ["train.epohcs=5", "seeds=0", "arm.tau=0.5", "tau=0.5", "train.rate=fast", "backbone.name=7", "dataset=toi"];
    assert_snapshot!(mistakes_under(SOUND, &[], &set));
}

#[test]
fn a_flag_without_a_value_is_no_setting() {
    assert_snapshot!(mistakes_under(SOUND, &[], &["seeds", "bits=[16,"]));
}

#[test]
fn the_uppermost_setting_that_breaks_a_constraint_is_blamed() {
    let file = format!("{SOUND}train.warmup = 30\n\n[train]\nwarmup = 20\n");
    assert_snapshot!(mistakes_under(&file, &[("HASHLAB_SET_TRAIN__EPOCHS", "10")], &[]));
}

#[test]
fn a_grid_without_bounds_is_a_slip() {
    let list = (1..=25).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let axes = ["tau", "low", "high", "steps"].map(|key| format!("{key} = [{list}]")).join("\n");
    let mistakes = mistakes(&with_arm(&format!("method = \"waves\"\n[arm.grid]\n{axes}")));
    assert!(mistakes.starts_with("error: the grid has 390625 points, and at most 10000 are allowed\n"), "{mistakes}");
}

#[test]
fn colour_is_only_for_terminals() {
    let mistakes = read_under(SOUND, &[], &["bits=[0]"]).err().expect("a mistake");
    assert!(mistakes.render(true).contains('\u{1b}'));
    assert!(!mistakes.render(false).contains('\u{1b}'));
    assert_eq!(mistakes.iter().count(), 1);
}

#[test]
fn escape_sequences_in_a_file_do_not_reach_the_terminal() {
    assert!(!mistakes("\"\\u001b[31m\" = 1").contains('\u{1b}'));
}
