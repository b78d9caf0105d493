//! `zip`, `when`, `exclude` and a method's own seeds.

use hashlab_sweep::Plan;
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{diagnostics, planned, planned_under, read, with_method};

/// The points of a plan's settings with their code lengths.
fn points(plan: &Plan) -> Vec<(usize, Value)> {
    let mut points: Vec<_> = plan.runs.iter().map(|run| (run.bits, Value::from((*run.point).clone()))).collect();
    points.dedup();
    points
}

fn values(plan: &Plan) -> Vec<Value> {
    points(plan).into_iter().map(|(_, point)| point).collect()
}

#[test]
fn zipped_keys_move_together() {
    let plan = planned(&with_method("name = \"waves\"\nzip = { tau = [0.2, 1], \"train.batch_size\" = [64, 64] }"));
    let expected = [json!({ "tau": 0.2, "train.batch_size": 64 }), json!({ "tau": 1.0, "train.batch_size": 64 })];
    assert_eq!(values(&plan), expected);
}

#[test]
fn grids_and_several_zips_are_combined() {
    let method = "name = \"waves\"\ngrid = { steps = [5, 6] }\n\
                  zip = [{ tau = [0.2, 1], train.batch_size = [64, 128] }, { \"train.rate\" = [1, 2], low = [0, 0.1] }]";
    let plan = planned(&with_method(method));
    assert_eq!(plan.runs.len(), 2 * 2 * 2);
    let together = |point: &Value| (point["tau"] == 0.2) == (point["train.batch_size"] == 64);
    assert!(values(&plan).iter().all(together));
}

#[test]
fn lists_that_move_together_are_equally_long() {
    assert_snapshot!(diagnostics(&with_method(
        "name = \"waves\"\nzip = { tau = [0.2, 1, 2], train = { rate = [1, 2] } }"
    )));
    assert_snapshot!(diagnostics(&with_method("name = \"waves\"\nzip = [{ tau = [0.2] }, {}]")));
    let repeated = "name = \"waves\"\nzip = { tau = [0.2, 1, 0.2], steps = [5, 5, 5] }";
    assert_snapshot!(diagnostics(&with_method(repeated)));
    let twice = "name = \"waves\"\ngrid = { tau = [0.2] }\nzip = { tau = [0.2, 1], steps = [5, 6] }";
    assert!(diagnostics(&with_method(twice)).contains("`tau` is varied twice in this grid"));
}

#[test]
fn excluded_points_are_left_out() {
    let grid = "name = \"waves\"\ngrid = { tau = [0.2, 1], steps = [5, 6] }\n";
    let plan = planned(&with_method(&format!("{grid}exclude = [{{ tau = 1, steps = 6 }}]")));
    let expected = [(0.2, 5), (0.2, 6), (1.0, 5)].map(|(tau, steps)| json!({ "tau": tau, "steps": steps }));
    assert_eq!(values(&plan), expected);
    let several = planned(&with_method(&format!("{grid}exclude = {{ tau = [0.2, 1], steps = 6 }}")));
    assert_eq!(several.runs.len(), 2);
}

#[test]
fn a_point_may_be_excluded_for_one_code_length() {
    let method = "name = \"waves\"\nbits = [16, 32]\ngrid = { tau = [0.2, 1] }\nexclude = [{ tau = 1, bits = 32 }]";
    let plan = planned(&with_method(method));
    let expected = [(16, 0.2), (32, 0.2), (16, 1.0)].map(|(bits, tau)| (bits, json!({ "tau": tau })));
    assert_eq!(points(&plan), expected);
}

#[test]
fn what_excludes_nothing_or_everything_is_wrong() {
    let grid = "name = \"waves\"\ngrid = { tau = [0.2, 1], steps = [5, 6] }\n";
    let wrong = [
        "exclude = [{ tau = 0.3 }]",
        "exclude = [{ low = 0.3 }]",
        "exclude = [{ tau = 1, bits = 64 }]",
        "exclude = [{}]",
        "exclude = []",
        "exclude = [{ tau = [0.2, 1] }]",
        "exclude = [3]",
        "exclude = [{ tau = \"low\" }]",
        "exclude = [{ bits = \"low\" }]",
        "when = { tau = { steps = 5 } }\nexclude = [{ tau = 1, steps = 6 }]",
    ];
    let shown = wrong.map(|line| diagnostics(&with_method(&format!("{grid}{line}"))));
    assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn a_conditional_key_varies_where_its_condition_holds() {
    let method = "name = \"waves\"\ngrid = { tau = [0.2, 1], steps = [5, 6] }\nwhen = { steps = { tau = 1 } }";
    let plan = planned(&with_method(method));
    let expected =
        [json!({ "tau": 0.2, "steps": 20 }), json!({ "tau": 1.0, "steps": 5 }), json!({ "tau": 1.0, "steps": 6 })];
    assert_eq!(values(&plan), expected);
}

#[test]
fn conditions_may_depend_on_each_other() {
    let method = "name = \"waves\"\ngrid = { tau = [0.2, 1], steps = [5, 6], \"train.rate\" = [1, 2] }\n\
                  when = { steps = { tau = 1 }, \"train.rate\" = { steps = 6 } }";
    // tau 0.2; tau 1 with steps 5; tau 1 with steps 6 and two rates.
    assert_eq!(planned(&with_method(method)).runs.len(), 4);
}

#[test]
fn a_condition_on_what_does_not_vary_is_wrong() {
    let wrong = ["when = { steps = { tau = 1 } }", "when = { tau = { steps = 1 } }", "when = { tau = 1 }"];
    let shown =
        wrong.map(|line| diagnostics(&with_method(&format!("name = \"waves\"\ngrid = {{ tau = [0.2, 1] }}\n{line}"))));
    assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn an_override_takes_the_place_of_a_key_everywhere() {
    let zip = with_method("name = \"waves\"\nzip = { tau = [0.2, 1], \"train.batch_size\" = [64, 128] }");
    let plan = planned_under(&zip, &[], &["train.batch_size=32"]);
    assert_eq!(values(&plan).len(), 2);
    assert!(values(&plan).iter().all(|point| point["train.batch_size"] == 32));

    let grid = "name = \"waves\"\ngrid = { tau = [0.2, 1], \"train.batch_size\" = [64, 128] }\n";
    let exclude = with_method(&format!("{grid}exclude = [{{ tau = 1, \"train.batch_size\" = 64 }}]"));
    assert_eq!(planned(&exclude).runs.len(), 3);
    assert_eq!(planned_under(&exclude, &[], &["train.batch_size=64"]).runs.len(), 1);
    assert_eq!(planned_under(&exclude, &[], &["train.batch_size=32"]).runs.len(), 2);

    let when = with_method(&format!("{grid}when = {{ tau = {{ \"train.batch_size\" = 64 }} }}"));
    assert_eq!(planned(&when).runs.len(), 3);
    assert_eq!(planned_under(&when, &[], &["train.batch_size=64"]).runs.len(), 2);
    assert_eq!(planned_under(&when, &[], &["train.batch_size=32"]).runs.len(), 1);
}

#[test]
fn a_method_may_have_seeds_of_its_own() {
    let plan = planned(
        "dataset = \"toy\"\nbits = [16]\nseeds = [0, 1]\n[[method]]\nname = \"waves\"\nseeds = [7]\n[[method]]\nname = \"prism\"",
    );
    let seeds: Vec<_> = plan.runs.iter().map(|run| (run.template().method.as_str(), run.seed)).collect();
    assert_eq!(seeds, [("waves", 7), ("prism", 0), ("prism", 1)]);
}

proptest! {
    #[test]
    fn a_grid_without_the_points_of_exclude_is_what_is_left(
        taus in 1usize..5, steps in 1usize..5, out in proptest::collection::btree_set((0usize..4, 0usize..4), 0..6)
    ) {
        let out: Vec<_> = out.into_iter().filter(|(tau, step)| *tau < taus && *step < steps).collect();
        prop_assume!(out.len() < taus * steps);
        let list = |count: usize| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        let points: Vec<String> = out.iter().map(|(tau, step)| format!("{{ tau = {}, steps = {} }}", tau + 1, step + 1)).collect();
        let exclude = if points.is_empty() { String::new() } else { format!("exclude = [{}]", points.join(", ")) };
        let method = format!("name = \"waves\"\ngrid = {{ tau = [{}], steps = [{}] }}\n{exclude}", list(taus), list(steps));
        let ids = |text: &str| planned(text).runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
        let all = planned(&with_method(method.split("exclude").next().unwrap_or_default())).runs;
        let left = ids(&with_method(&method));
        prop_assert_eq!(left.len(), taus * steps - out.len());
        let kept: Vec<_> = all.into_iter().enumerate().filter(|(at, _)| !out.contains(&(at / steps, at % steps))).map(|(_, run)| run.id).collect();
        prop_assert_eq!(left, kept);
    }

    #[test]
    fn a_zip_is_the_diagonal_of_a_grid(count in 2usize..6) {
        let list = |from: usize| (from..from + count).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        let keys = format!("{{ tau = [{}], steps = [{}] }}", list(1), list(11));
        let zip = planned(&with_method(&format!("name = \"waves\"\nzip = {keys}"))).runs;
        let grid = planned(&with_method(&format!("name = \"waves\"\ngrid = {keys}"))).runs;
        prop_assert_eq!(zip.len(), count);
        for (at, run) in zip.iter().enumerate() {
            prop_assert_eq!(&run.id, &grid[at * (count + 1)].id);
        }
    }
}

#[test]
fn a_whole_grid_may_not_be_excluded_even_by_code_lengths() {
    let method = "name = \"waves\"\nexclude = [{ bits = 16 }]";
    assert!(diagnostics(&with_method(method)).contains("`exclude` leaves nothing to run"));
    let sound = "name = \"waves\"\nbits = [16, 32]\nexclude = [{ bits = 16 }]";
    assert_eq!(read(&with_method(sound)).err().map(|wrong| wrong.to_string()), None);
}
