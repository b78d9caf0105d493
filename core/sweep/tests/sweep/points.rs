//! Points of the settings of a row, and the number of runs of a method.

use hashlab_sweep::Plan;
use serde_json::{Value, json};

use crate::{planned, planned_under};

fn file(methods: &str) -> String {
    format!("dataset = \"toy\"\nbits = [16]\n{methods}")
}

/// The points of a plan's settings, repetitions under other seeds and code lengths left out.
fn points(plan: &Plan) -> Vec<Value> {
    let mut points: Vec<Value> = plan.runs.iter().map(|run| Value::from((*run.point).clone())).collect();
    points.dedup();
    points
}

#[test]
fn two_methods_of_one_row_differ_by_what_they_fix() {
    let method = |own: &str| format!("[[method]]\nname = \"waves\"\n{own}\n");
    let two = |one: &str, other: &str| points(&planned(&file(&format!("{}{}", method(one), method(other)))));
    assert_eq!(two("params = { tau = 0.1 }", "params = { tau = 0.9 }"), [json!({ "tau": 0.1 }), json!({ "tau": 0.9 })]);
    let sizes = two("image = { image_size = 16 }", "");
    assert_eq!(sizes, [json!({ "image.image_size": 16 }), json!({ "image.image_size": 32 })]);
    let clipped = two("train = { clip = 1 }", "train = { epochs = 50 }");
    let expected =
        [json!({ "train.epochs": 100, "train.clip": 1.0 }), json!({ "train.epochs": 50, "train.clip": null })];
    assert_eq!(clipped, expected);
}

#[test]
fn what_a_row_varies_stands_before_what_it_differs_in() {
    let methods = "[[method]]\nname = \"waves\"\nparams = { low = 0.2 }\ngrid = { \"train.rate\" = [1, 2] }\n\
                   [[method]]\nname = \"waves\"\n";
    let plan = planned(&file(methods));
    let texts: Vec<String> = points(&plan).iter().map(Value::to_string).collect();
    let expected =
        [r#"{"train.rate":1.0,"low":0.2}"#, r#"{"train.rate":2.0,"low":0.2}"#, r#"{"low":0.1,"train.rate":0.001}"#];
    assert_eq!(texts, expected);
}

#[test]
fn rows_of_their_own_do_not_differ_within() {
    let methods = "[[method]]\nname = \"waves\"\nlabel = \"a\"\nparams = { tau = 0.1 }\n\
                   [[method]]\nname = \"waves\"\nlabel = \"b\"\n";
    assert_eq!(points(&planned(&file(methods))), [json!({})]);
}

#[test]
fn an_inactive_key_is_no_part_of_a_point() {
    let methods = "[[method]]\nname = \"waves\"\ngrid = { loss = [\"hinge\", \"cosine\"], low = [0.1, 0.2] }\n";
    let expected =
        [json!({ "loss": "hinge" }), json!({ "loss": "cosine", "low": 0.1 }), json!({ "loss": "cosine", "low": 0.2 })];
    let plan = planned(&file(methods));
    assert_eq!(points(&plan), expected);
    assert_eq!(plan.runs.len(), 3);
}

#[test]
fn an_override_takes_the_place_of_an_axis_and_stays_in_the_point() {
    let methods = "[[method]]\nname = \"waves\"\ngrid = { tau = [0.2, 1], \"train.batch_size\" = [64, 128] }\n";
    let plan = planned_under(&file(methods), &[("HASHLAB_SET_TRAIN__RATE", "1")], &["train.batch_size=32"]);
    let expected = [json!({ "tau": 0.2, "train.batch_size": 32 }), json!({ "tau": 1.0, "train.batch_size": 32 })];
    assert_eq!(points(&plan), expected);
}

#[test]
fn a_method_without_chance_runs_once() {
    let methods = "seeds = [7, 8, 9]\n[[method]]\nname = \"ruler\"\n[[method]]\nname = \"prism\"\n";
    let plan = planned(&file(methods));
    let seeds = |label: &str| -> Vec<u64> {
        plan.runs.iter().filter(|run| *run.label == *label).map(|run| run.config().seed).collect()
    };
    assert_eq!(seeds("Ruler"), [7]);
    assert_eq!(seeds("Prism"), [7, 8, 9]);
}
