//! Diagnostics of an invalid file.

use insta::assert_snapshot;

use crate::{diagnostics, read, with_method};

#[test]
fn every_value_of_a_grid_is_checked() {
    let method = "name = \"waves\"\ngrid = { tua = [0.1], steps = [10, 0, 2.5], tau = [0.2, -1] }";
    assert_snapshot!(diagnostics(&with_method(method)));
}

#[test]
fn what_changes_nothing_is_wrong() {
    let method = "name = \"waves\"\nparams = { loss = \"hinge\", low = 0.2 }\ntrain = { nesterov = true }\n\
                  grid = { \"train.warmup\" = [3, 4] }";
    assert_snapshot!(diagnostics(&with_method(method)));
}

#[test]
fn a_key_that_matters_at_some_points_of_a_grid_is_sound() {
    let method = "name = \"waves\"\ngrid = { loss = [\"hinge\", \"cosine\"], low = [0.1, 0.2] }";
    assert_eq!(read(&with_method(method)).err().map(|wrong| wrong.to_string()), None);
}

#[test]
fn an_inactive_key_that_undoes_a_shared_one_is_sound() {
    let file = format!(
        "{}\n[train]\nnesterov = true\nwarmup = 3\n",
        with_method("name = \"waves\"\ntrain = { nesterov = false }")
    );
    assert_eq!(read(&file).err().map(|wrong| wrong.to_string()), None);
}

#[test]
fn everything_wrong_in_a_file_is_reported_together() {
    assert_snapshot!(diagnostics(
        r#"# Why is this file wrong?
dataset = "toys"
protocl = "toy-1"
bits = 16
seeds = [0, 1, 0, -1]
epochs = 5

[image]
views = "two"

[train]
epochs = true
rate = [0.1]

[[method]]
name = "wave"

[[method]]
name = "waves"
tau = 0.3
params = { epochs = 3, loss = "cosin" }
"#
    ));
}

#[test]
fn lists_to_try_are_lists_without_repetition() {
    assert_snapshot!(diagnostics(
        r#"
dataset = "toy"
bits = [16, 0, 16, 2048, "32"]
seeds = []
split_seed = -1

[[method]]
name = "waves"
bits = [32, 32]
grid = { tau = 0.2, steps = [], low = [0.1, 0.10], "train.rate" = [1, 1.0] }
"#
    ));
}

#[test]
fn a_key_is_fixed_or_varied_once() {
    let method = r#"name = "waves"
params = { tau = 0.2 }
train.epochs = 5
grid = { tau = [0.3], "train.epochs" = [6], train = { rate = [0.1] }, "train.rate" = [0.2] }"#;
    assert_snapshot!(diagnostics(&with_method(method)));
}

#[test]
fn what_does_not_apply_to_a_method_has_no_place_in_its_table() {
    let method = r#"name = "prism"
train = { epochs = 5 }
image = { views = 10, finetune = true, image_size = 64 }
grid = { rounds = [10, 20], "image.views" = [2, 10], "train.epochs" = [5], "eval.map_at" = [1] }"#;
    assert_snapshot!(diagnostics(&with_method(method)));
}

#[test]
fn rules_between_keys_are_judged_in_the_merged_table() {
    assert_snapshot!(diagnostics(
        r#"
dataset = "toy"
bits = [16]

[train]
epochs = 20

[[method]]
name = "waves"
train = { epochs = 5 } # the default warm-up is longer

[[method]]
name = "waves"
label = "other"
train = { epochs = 5, warmup = 5 }
params = { high = 0.5 }
grid = { low = [0.4, 0.5, 0.6] } # two of these are not below `high`
"#
    ));
}

#[test]
fn a_rule_between_keys_is_not_judged_where_one_was_refused() {
    let method = "name = \"waves\"\nparams = { low = 2.0, high = \"high\" }\ntrain = { epochs = 0, warmup = 200 }";
    let text = diagnostics(&with_method(method));
    assert_eq!(text.matches("error: ").count(), 2, "{text}");
}

#[test]
fn of_two_keys_in_one_layer_the_first_of_the_rule_is_blamed() {
    let method = "name = \"waves\"\nparams = { high = -1.0, low = 2.0 }";
    assert_snapshot!(diagnostics(&with_method(method)));
}

#[test]
fn numbers_have_upper_bounds_too() {
    let file =
        format!("{}\n[image]\nimage_size = 100000\n[train]\ndrops = [0.1, 1.5]\n", with_method("name = \"waves\""));
    assert_snapshot!(diagnostics(&file));
}

#[test]
fn types_are_named_as_users_know_them() {
    let file = with_method("name = \"waves\"\nparams = { steps = \"many\", loss = 3 }\ntrain = { clip = \"no\" }");
    assert_snapshot!(diagnostics(&format!("{file}\n[eval]\nmap_at = -1\ncurves = \"yes\"\n[train]\ndrops = 0.5\n")));
}

#[test]
fn a_row_belongs_to_one_method() {
    let methods = "name = \"waves\"\nlabel = \"Ours\"\n\n[[method]]\nname = \"prism\"\nlabel = \"Ours\"\n\n\
                   [[method]]\nname = \"prism\"\nlabel = \" \"";
    assert_snapshot!(diagnostics(&with_method(methods)));
}

#[test]
fn an_empty_file_lacks_everything() {
    assert_snapshot!(diagnostics(""));
}

#[test]
fn an_experiment_without_runs_is_wrong() {
    assert_snapshot!(diagnostics("dataset = \"toy\"\nbits = []\nmethod = []\n"));
    let empty = diagnostics(&with_method("name = \"waves\"\ngrid = {}"));
    assert!(
        empty.starts_with("error: `grid` is empty, so it varies nothing\n --> experiments/toy.toml:6:1\n"),
        "{empty}"
    );
}

#[test]
fn tables_and_lists_are_not_mixed_up() {
    assert_snapshot!(diagnostics(
        "dataset = \"toy\"\nbits = [8]\ntrain = 5\nmethod = [\n  { name = 3 },\n  \"waves\",\n  { label = \"x\" },\n]\n"
    ));
}

#[test]
fn methods_are_written_with_two_brackets() {
    assert_snapshot!(diagnostics("dataset = \"toy\"\n\n[method]\nname = \"waves\"\n"));
}

#[test]
fn syntax_is_reported_like_everything_else() {
    assert_snapshot!(diagnostics("dataset = \"toy\nbits = [16, 32\n\n[[method]\nname = \"waves\"\nname = \"prism\"\n"));
}

#[test]
fn what_other_languages_write_is_translated() {
    let rate = |value: &str| diagnostics(&format!("[train]\nrate = {value}\n"));
    assert_snapshot!([rate(".001"), rate("True"), rate("0,5")].join("\n\n"));
}

#[test]
fn numbers_are_finite_and_dates_are_none() {
    assert_snapshot!(diagnostics("[train]\nrate = nan\nepochs = 99999999999999999999\nwarmup = 2026-01-01\n"));
}

#[test]
fn a_protocol_belongs_to_its_data_set() {
    assert_snapshot!(diagnostics(&format!("protocol = \"toy1\"\n{}", with_method("name = \"waves\""))));
}

#[test]
fn a_grid_without_bounds_is_a_slip() {
    let list = (1..=25).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let axes = ["tau", "low", "high", "steps"].map(|key| format!("{key} = [{list}]")).join("\n");
    let text = diagnostics(&with_method(&format!("name = \"waves\"\n[method.grid]\n{axes}")));
    assert!(text.starts_with("error: the grid has 390625 points, and at most 10000 are allowed\n"), "{text}");
}

#[test]
fn the_largest_grid_is_checked_in_seconds() {
    let list = |count: usize| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let grid = format!("tau = [{}], steps = [{}], \"train.batch_size\" = [{}]", list(100), list(10), list(10));
    let start = std::time::Instant::now();
    let experiment = read(&with_method(&format!("name = \"waves\"\ngrid = {{ {grid} }}"))).expect("a sound file");
    assert_eq!(crate::plan(&experiment).expect("a plan").runs.len(), 10_000);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn color_is_only_for_terminals() {
    let wrong = crate::read_under(&with_method("name = \"waves\""), &[], &["bits=[0]"]).err().expect("wrong");
    assert!(wrong.render(true).contains('\u{1b}'));
    assert!(!wrong.render(false).contains('\u{1b}'));
    assert_eq!(wrong.iter().count(), 1);
}

#[test]
fn a_report_says_error_once() {
    let text = diagnostics(&with_method("name = \"wave\""));
    assert!(text.starts_with("error: there is no method `wave`\n"), "{text}");
    assert_eq!(text.matches("error").count(), 1);
}

#[test]
fn escape_sequences_in_a_file_do_not_reach_the_terminal() {
    assert!(!diagnostics("\"\\u001b[31m\" = 1").contains('\u{1b}'));
}
