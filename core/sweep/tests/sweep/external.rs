//! Rows of codes that others computed.

use hashlab_data::Modality;
use hashlab_sweep::{EXTERNAL_METHOD, Plan, PlanError, Side};
use insta::assert_snapshot;

use crate::{diagnostics, plan, planned, read};

const FILE: &str = r#"
dataset = "toy"
bits = [16, 32]
seeds = [0, 1]

[[method]]
name = "prism"

[[external]]
label = "Theirs"
codes = "codes/{bits}_{seed}.npz#{side:q|r}"

[[external]]
label = "Fixed"
codes = "codes/all.npy"
bits = [32]
"#;

fn listing(plan: &Plan) -> String {
    let line = |row: &hashlab_sweep::PlannedExternal| {
        let files: Vec<_> = row.files.iter().map(|file| file.path.as_str()).collect();
        format!("{} {} {} {}", row.run.id, row.run.setting, row.run.label, files.join(" "))
    };
    plan.external.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn rows_are_planned_by_code_length_and_seed() {
    let plan = planned(FILE);
    assert_snapshot!(listing(&plan));
    let [first, second, ..] = plan.external.as_slice() else { panic!("{plan:#?}") };
    assert_eq!(first.run.setting, second.run.setting, "seeds are repetitions of one setting");
    assert_ne!(first.run.id, second.run.id);
    assert_eq!(first.run.config().method, EXTERNAL_METHOD);
    assert_eq!((first.files[1].side, first.files[1].modality), (Side::Database, Modality::Image));
    let fixed = plan.external.last().unwrap();
    assert_eq!((fixed.seeded, fixed.run.seed, fixed.files[0].side), (false, 0, Side::All));
}

#[test]
fn rows_change_no_other_run_and_survive_the_plans_file() {
    let plan = planned(FILE);
    let without = planned(FILE.split("[[external]]").next().unwrap());
    assert_eq!(plan.runs, without.runs);
    assert!(without.external.is_empty() && !without.to_jsonl().contains("external"));
    assert_eq!(Plan::from_jsonl(&plan.to_jsonl()).unwrap(), plan);
    let lines = plan.to_jsonl();
    let cut = lines.trim_end().rsplit_once('\n').unwrap().0;
    assert!(Plan::from_jsonl(cut).is_err(), "a plan that ends early is no plan");
}

#[test]
fn both_modalities_have_files() {
    let text = "dataset = \"pairs\"\nbits = [16]\n[[method]]\nname = \"bridge\"\n[[external]]\nlabel = \"T\"\n\
                codes = \"codes/t.mat#{side:q|r}_{modality:img|txt}\"\n";
    let paths: Vec<String> = planned(text).external[0].files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(paths, ["q_img", "q_txt", "r_img", "r_txt"].map(|name| format!("codes/t.mat#{name}")));
    assert_snapshot!(diagnostics(&text.replace("_{modality:img|txt}", "")));
}

#[test]
fn everything_wrong_in_rows_is_reported_together() {
    assert_snapshot!(diagnostics(
        r#"
dataset = "toy"
bits = [16, 32]

[[method]]
name = "prism"
label = "Theirs (external codes)"

[[external]]
label = "Theirs"
codes = "codes/all.npy"

[[external]]
codes = "codes/{bits"
bits = [0]
lable = "x"

[[external]]
label = ""
codes = 3
"#
    ));
    let elsewhere = FILE.replace("codes/all.npy", "elsewhere.npy");
    assert_snapshot!(diagnostics(&elsewhere));
}

#[test]
fn two_rows_do_not_have_the_same_codes() {
    let text = format!("{FILE}[[external]]\nlabel = \"Again\"\ncodes = \"codes/all.npy\"\nbits = [32]\n");
    let error = plan(&read(&text).unwrap_or_else(|wrong| panic!("{wrong}"))).unwrap_err();
    assert!(matches!(error, PlanError::SharedCodes { .. }), "{error}");
}
