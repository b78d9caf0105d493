//! What an experiment expands to.

use hashlab_engine::Settings;
use hashlab_engine::sweep::{Plan, PlanError, PlannedRun};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{plan, planned, planned_under, read};

const FILE: &str = r#"
dataset = "toy"
bits = [16, 32]
seeds = [0, 1]

[train]
epochs = 150

[[arm]]
method = "waves"
params = { steps = 5 }
grid = { tau = [0.2, 1], "train.batch_size" = [64, 128] }

[[arm]]
method = "prism"
label = "Prism (untrained)"
bits = [16]
"#;

/// One line per run: identity, row, point.
fn listing(plan: &Plan) -> String {
    let line = |run: &PlannedRun| {
        format!("{} {} {} {} {}", run.id, run.trial, run.arm, run.label, Value::from(run.point.clone()))
    };
    plan.runs.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn runs_are_ordered_by_arm_point_bits_and_seed() {
    assert_snapshot!(listing(&planned(FILE)));
}

#[test]
fn a_configuration_holds_every_resolved_key() {
    let plan = planned(FILE);
    let configs = [&plan.runs[0].config, &plan.runs.last().expect("runs").config];
    assert_snapshot!(serde_json::to_string_pretty(&configs).expect("plain data"));
}

#[test]
fn each_layer_beats_the_one_below() {
    let epochs = |text: &str, env: &[(&str, &str)], set: &[&str]| {
        planned_under(text, env, set).runs[0].config.train["epochs"].clone()
    };
    let arm = "dataset = \"toy\"\nbits = [16]\n[[arm]]\nmethod = \"waves\"\n";
    let shared = format!("{arm}[train]\nepochs = 20\n");
    let own = shared.replace("[train]", "train = { epochs = 30 }\n[train]");
    let varied = shared.replace("[train]", "grid = { train.epochs = [40] }\n[train]");
    let env = [("HASHLAB_SET_TRAIN__EPOCHS", "50"), ("HASHLAB_SET_TRAIN__RATE", "1e-2")];
    assert_eq!(epochs(arm, &[], &[]), 100);
    assert_eq!(epochs(&shared, &[], &[]), 20);
    assert_eq!(epochs(&own, &[], &[]), 30);
    assert_eq!(epochs(&varied, &[], &[]), 40);
    for text in [arm, &shared, &own, &varied] {
        assert_eq!(epochs(text, &env, &[]), 50);
        assert_eq!(epochs(text, &env, &["train.epochs=59", "train={ epochs = 60 }"]), 60);
    }
    assert_eq!(planned_under(arm, &env, &[]).runs[0].config.train["rate"], 0.01);
}

#[test]
fn an_override_takes_the_place_of_an_axis() {
    let plan = planned_under(FILE, &[], &["train.batch_size=32", "bits=[8]", "seeds=[7]", "protocol=toy-2"]);
    let points: Vec<_> = plan.runs.iter().map(|run| Value::from(run.point.clone())).collect();
    assert_eq!(points, [json!({ "tau": 0.2 }), json!({ "tau": 1.0 }), json!({})]);
    assert!(plan.runs.iter().all(|run| run.config.bits == 8 && run.config.seed == 7));
    assert_eq!((plan.protocol.as_str(), &plan.runs[0].config.eval["map_at"]), ("toy-2", &json!(0)));
}

#[test]
fn the_headline_depth_is_the_protocols_unless_the_file_says_otherwise() {
    let depth = |eval: &str| planned(&format!("{FILE}\n[eval]\n{eval}")).runs[0].config.eval["map_at"].clone();
    assert_eq!(depth(""), 100);
    assert_eq!(depth("map_at = 5"), 5);
}

#[test]
fn what_cannot_change_a_result_is_not_in_a_run() {
    let run = |extra: &str| planned(&format!("{FILE}\n{extra}")).runs.pop().expect("prism is last").config;
    let config = run("");
    assert!(config.train.is_empty() && !config.backbone.contains_key("views"));
    assert_eq!(config.id(), run("[backbone]\nviews = 9").id());
    assert_eq!(config.id(), run("[eval]\nmap_at = 100").id());
    assert_ne!(config.id(), run("[backbone]\nname = \"large\"").id());
}

/// The catalog's idle keys: `low` and `high` beside `loss = "hinge"`, `warmup` and `drops` beside `nesterov`, and the
/// digest of a grey backbone. Each switch is the first value of a grid: a key that it made idle at every point of an
/// arm would be refused.
#[test]
fn keys_that_change_nothing_under_the_others_values_name_no_run() {
    let run = |arm: &[&str]| {
        let arm = arm.join("\n");
        planned(&format!("dataset = \"toy\"\nbits = [16]\n[[arm]]\nmethod = \"waves\"\n{arm}")).runs.swap_remove(0)
    };
    let cases: [(&str, &[&str], &str); 5] = [
        ("grid.loss = [\"hinge\", \"cosine\"]", &["low", "high"], "params.high = 0.5"),
        ("grid.loss = [\"hinge\", \"cosine\"]", &["low", "high"], "params.low = -2"),
        ("grid.train.nesterov = [true, false]", &["warmup", "drops"], "train.warmup = 0"),
        ("grid.train.nesterov = [true, false]", &["warmup", "drops"], "train.drops = [0.1, 0.2]"),
        ("grid.backbone.name = [\"grey\", \"small\"]", &["digest"], "backbone.weights = \"mine.safetensors\""),
    ];
    for (switch, idle, change) in cases {
        let sections = |run: &PlannedRun| {
            let config = &run.config;
            [&config.params, &config.train, &config.backbone].map(|s| s.keys().cloned().collect::<Vec<_>>()).concat()
        };
        let (plain, off) = (run(&[]), run(&[switch]));
        assert_ne!(run(&[change]).id, plain.id, "{change} matters on its own");
        assert_eq!(run(&[switch, change]).id, off.id, "{change} changes nothing under {switch}");
        assert_eq!(run(&[switch, change]).trial, off.trial);
        let left_out: Vec<_> = sections(&plain).into_iter().filter(|key| !sections(&off).contains(key)).collect();
        assert_eq!(left_out, idle, "what {switch} leaves out of the configuration");
        for other in ["params.tau = 4", "train.rate = 1", "backbone.views = 9"] {
            assert_ne!(run(&[switch, other]).id, off.id, "{other} matters under {switch}");
        }
    }
}

#[test]
fn each_backbone_is_resolved_once() {
    let text = FILE.replace("\"train.batch_size\" = [64, 128]", "\"backbone.views\" = [2, 10]");
    let mut seen: Vec<Settings> = Vec::new();
    let plan = read(&text).expect("a sound file").plan(&mut |section| {
        assert!(!seen.contains(section), "resolved before: {section:?}");
        seen.push(section.clone());
        Ok(section.clone())
    });
    assert_eq!((plan.expect("a plan").runs.len(), seen.len()), (18, 2));
}

#[test]
fn a_backbone_that_cannot_be_had_stops_the_plan() {
    let experiment = read(FILE).expect("a sound file");
    let error = experiment.plan(&mut |_| Err("no such file: w.safetensors".to_owned())).expect_err("no weights");
    assert_eq!(error.to_string(), "no such file: w.safetensors");
}

#[test]
fn a_run_that_arises_twice_is_listed_once() {
    let again = "[[arm]]\nmethod = \"waves\"\nparams = { steps = 5, tau = 0.2 }\ntrain = { batch_size = 64 }\n";
    let (one, both) = (planned(FILE), planned(&format!("{FILE}\n{again}")));
    assert_eq!(one, both);
    let other = format!("{FILE}\n{again}label = \"Baseline\"\n");
    let error = plan(&read(&other).expect("a sound file")).expect_err("two rows hold one run");
    assert!(matches!(&error, PlanError::SharedRun { first, second, .. } if first == "Waves" && second == "Baseline"));
    assert_snapshot!(error);
}

#[test]
fn a_trial_is_what_seeds_have_in_common() {
    let plan = planned(FILE);
    for pair in plan.runs.chunks(2) {
        assert_eq!(pair[0].trial, pair[1].trial);
        assert_ne!(pair[0].id, pair[1].id);
    }
    let mut trials: Vec<_> = plan.runs.iter().map(|run| &run.trial).collect();
    trials.dedup();
    assert_eq!(trials.len(), plan.runs.len() / 2);
}

#[test]
fn a_stored_plan_is_the_plan() {
    let plan = planned(FILE);
    let text = plan.to_jsonl();
    assert_eq!(text.lines().count(), 1 + plan.runs.len());
    let again = Plan::from_jsonl(&text).expect("what was written can be read");
    assert_eq!((&again, again.digest()), (&plan, plan.digest()));
    assert_ne!(plan.digest(), planned_under(FILE, &[], &["seeds=[2]"]).digest());
}

#[test]
fn a_damaged_plan_is_refused() {
    let text = planned(FILE).to_jsonl();
    let (head, last) = text.trim_end().rsplit_once('\n').expect("lines");
    let refusals = [
        Plan::from_jsonl(""),
        Plan::from_jsonl(head),
        Plan::from_jsonl(&text.replacen("\"schema\":1", "\"schema\":0", 1)),
        Plan::from_jsonl(&format!("{head}\n{}", last.replace("\"rounds\":50", "\"rounds\":51"))),
        Plan::from_jsonl(&format!("{head}\n{}", &last[..last.len() / 2])),
    ];
    let messages: Vec<String> = refusals.map(|r| r.expect_err("a damaged plan").to_string()).into();
    assert_snapshot!(messages.join("\n\n"));
}
