//! Rows of codes that others computed.

use hashlab_data::Modality;
use hashlab_sweep::{EXTERNAL_METHOD, Plan, PlanError, PlannedExternal, Side};

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

/// A run of an external row with its files.
fn listed(row: &PlannedExternal) -> String {
    let files: Vec<_> = row.files.iter().map(|file| file.path.as_str()).collect();
    format!("{}, {} bits, seed {}: {}", row.run.label, row.run.bits, row.run.seed, files.join(" "))
}

#[test]
fn rows_are_planned_by_code_length_and_seed() {
    let plan = planned(FILE);
    let files: Vec<String> = plan.external.iter().map(listed).collect();
    assert_eq!(
        files,
        [
            "Theirs (external codes), 16 bits, seed 0: codes/16_0.npz#q codes/16_0.npz#r",
            "Theirs (external codes), 16 bits, seed 1: codes/16_1.npz#q codes/16_1.npz#r",
            "Theirs (external codes), 32 bits, seed 0: codes/32_0.npz#q codes/32_0.npz#r",
            "Theirs (external codes), 32 bits, seed 1: codes/32_1.npz#q codes/32_1.npz#r",
            "Fixed (external codes), 32 bits, seed 0: codes/all.npy",
        ]
    );
    let [first, second, ..] = plan.external.as_slice() else { panic!("{plan:#?}") };
    assert_eq!(first.run.setting, second.run.setting, "seeds are repetitions of one setting");
    assert_ne!(first.run.id, second.run.id);
    assert_eq!(first.run.config().method, EXTERNAL_METHOD);
    assert_eq!((first.files[1].side, first.files[1].modality), (Side::Database, Modality::Image));
    let fixed = plan.external.last().unwrap();
    assert_eq!((fixed.seeded, fixed.run.seed, fixed.files[0].side), (false, 0, Side::All));
}

#[test]
fn a_stored_row_has_the_setting_of_its_first_seed() {
    let plan = planned(FILE);
    let text = plan.to_jsonl();
    for (at, row) in plan.external.iter().enumerate() {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let line = &mut lines[1 + plan.runs.len() + at];
        *line = line.replace(&format!("\"setting\":\"{}\"", row.run.setting), "\"setting\":\"0123456789ab\"");
        let refused = Plan::from_jsonl(&lines.join("\n")).unwrap_err().to_string();
        assert!(refused.contains("has the setting 0123456789ab"), "{refused}");
    }
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
    let same = diagnostics(&text.replace("_{modality:img|txt}", ""));
    assert!(same.contains("`codes` names the same file for images and texts"), "{same}");
}

#[test]
fn everything_wrong_in_rows_is_reported_together() {
    let said = diagnostics(
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
"#,
    );
    for part in [
        "`[[external]]` has no key `lable`",
        "an `[[external]]` has no `label`",
        "`bits` must be at least 1",
        "`label` must be a string with something in it",
        "`codes` must be a string with something in it, got the integer 3",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = diagnostics(
        r#"
dataset = "toy"
bits = [16, 32]

[[method]]
name = "prism"
label = "Theirs (external codes)"

[[external]]
label = "Theirs"
codes = "codes/all.npy"
"#,
    );
    for part in ["there is a row `Theirs (external codes)` already", "names the same file for 2 code lengths"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = diagnostics(&FILE.replace("codes/all.npy", "elsewhere.npy"));
    assert!(said.contains("there is no file elsewhere.npy") && said.contains("look in codes"), "{said}");
}

#[test]
fn two_rows_do_not_have_the_same_codes() {
    let text = format!("{FILE}[[external]]\nlabel = \"Again\"\ncodes = \"codes/all.npy\"\nbits = [32]\n");
    let error = plan(&read(&text).unwrap_or_else(|wrong| panic!("{wrong}"))).unwrap_err();
    assert!(matches!(error, PlanError::SharedCodes { .. }), "{error}");
}
