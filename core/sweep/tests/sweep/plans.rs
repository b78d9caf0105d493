//! Plans of experiments.

use std::io::{self, BufReader, Read};

use hashlab_data::Modality;
use hashlab_settings::Settings;
use hashlab_sweep::{Plan, PlanError, PlannedRun};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{plan, planned, planned_under, read};

const FILE: &str = r#"
dataset = "toy"
bits = [16, 32]
seeds = [0, 1]

[train]
epochs = 150

[[method]]
name = "waves"
params = { steps = 5 }
grid = { tau = [0.2, 1], "train.batch_size" = [64, 128] }

[[method]]
name = "prism"
label = "Prism (untrained)"
bits = [16]
"#;

/// One line per run: identity, setting, method, row, point.
fn listing(plan: &Plan) -> String {
    let line = |run: &PlannedRun| {
        format!("{} {} {} {} {}", run.id, run.setting, run.method, run.label, Value::from((*run.point).clone()))
    };
    plan.runs.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn runs_are_ordered_by_method_point_bits_and_seed() {
    assert_snapshot!(listing(&planned(FILE)));
}

#[test]
fn a_configuration_holds_what_differs_from_the_defaults() {
    let plan = planned_under(FILE, &[], &["image.image_size=32", "train.nesterov=true", "data.size=7"]);
    let configs = [plan.runs[0].config(), plan.runs.last().expect("runs").config()];
    assert_snapshot!(serde_json::to_string_pretty(&configs).expect("plain data"));
}

#[test]
fn each_layer_beats_the_one_below() {
    let epochs = |text: &str, env: &[(&str, &str)], set: &[&str]| {
        planned_under(text, env, set).runs[0].config().train.get("epochs").and_then(Value::as_u64).unwrap_or(100)
    };
    let method = "dataset = \"toy\"\nbits = [16]\n[[method]]\nname = \"waves\"\n";
    let shared = format!("{method}[train]\nepochs = 20\n");
    let own = shared.replace("[train]", "train = { epochs = 30 }\n[train]");
    let varied = shared.replace("[train]", "grid = { train.epochs = [40] }\n[train]");
    let env = [("HASHLAB_SET_TRAIN__EPOCHS", "50"), ("HASHLAB_SET_TRAIN__RATE", "1e-2")];
    assert_eq!(epochs(method, &[], &[]), 100);
    assert_eq!(epochs(&shared, &[], &[]), 20);
    assert_eq!(epochs(&own, &[], &[]), 30);
    assert_eq!(epochs(&varied, &[], &[]), 40);
    for text in [method, &shared, &own, &varied] {
        assert_eq!(epochs(text, &env, &[]), 50);
        assert_eq!(epochs(text, &env, &["train.epochs=59", "train={ epochs = 60 }"]), 60);
    }
    assert_eq!(planned_under(method, &env, &[]).runs[0].config().train["rate"], 0.01);
}

#[test]
fn overrides_reach_the_keys_at_the_top() {
    let plan = planned_under(FILE, &[], &["bits=[8]", "seeds=[7]", "protocol=toy-2", "split_seed=4"]);
    assert!(
        plan.runs.iter().all(|run| run.config().bits == 8 && run.config().seed == 7 && run.config().split_seed == 4)
    );
    assert_eq!((plan.protocol.as_str(), &plan.runs[0].config().eval["map_at"]), ("toy-2", &json!("all")));
}

#[test]
fn the_depth_of_the_primary_metric_is_the_protocols_unless_the_file_says_otherwise() {
    let depth = |eval: &str| planned(&format!("{FILE}\n[eval]\n{eval}")).runs[0].config().eval["map_at"].clone();
    assert_eq!(depth(""), 100);
    assert_eq!(depth("map_at = \"protocol\""), 100);
    assert_eq!(depth("map_at = \"all\""), "all");
    assert_eq!(depth("map_at = 5"), 5);
}

#[test]
fn what_cannot_change_a_result_is_not_in_a_run() {
    let run = |extra: &str| planned(&format!("{FILE}\n{extra}")).runs.pop().expect("prism is last").config();
    let config = run("");
    assert!(config.train.is_empty());
    for same in
        ["[image]\nviews = 9", "[image]\nfinetune = true", "[eval]\nmap_at = 100", "[image]\nencoder = \"tiny\""]
    {
        assert_eq!(config.id(), run(same).id(), "{same}");
    }
    assert_ne!(config.id(), run("[image]\nencoder = \"large\"").id());
}

/// The catalog's inactive keys: `low` and `high` beside `loss = "hinge"`, `warmup` and `drops` beside `nesterov`, and
/// the digest of a grey encoder. Each switch is the first value of a grid: a key that it made inactive at every point
/// of a method would be refused.
#[test]
fn keys_that_change_nothing_under_the_others_values_name_no_run() {
    let run = |own: &[&str]| {
        let own = own.join("\n");
        planned(&format!("dataset = \"toy\"\nbits = [16]\n[[method]]\nname = \"waves\"\n{own}")).runs.swap_remove(0)
    };
    let cases: [(&str, &str); 5] = [
        ("grid.loss = [\"hinge\", \"cosine\"]", "params.high = 0.5"),
        ("grid.loss = [\"hinge\", \"cosine\"]", "params.low = -2"),
        ("grid.train.nesterov = [true, false]", "train.warmup = 0"),
        ("grid.train.nesterov = [true, false]", "train.drops = [0.1, 0.2]"),
        ("grid.image.encoder = [\"grey\", \"small\"]", "image.weights = \"mine.safetensors\""),
    ];
    for (switch, change) in cases {
        let (plain, off) = (run(&[]), run(&[switch]));
        assert_ne!(run(&[change]).id, plain.id, "{change} matters on its own");
        assert_eq!(run(&[switch, change]).id, off.id, "{change} changes nothing under {switch}");
        assert_eq!(run(&[switch, change]).setting, off.setting);
        for other in ["params.tau = 4", "train.rate = 1", "image.views = 9"] {
            assert_ne!(run(&[switch, other]).id, off.id, "{other} matters under {switch}");
        }
    }
}

#[test]
fn each_encoder_is_resolved_once() {
    let text = FILE.replace("\"train.batch_size\" = [64, 128]", "\"image.views\" = [2, 10]");
    let mut seen: Vec<(Modality, Settings)> = Vec::new();
    let plan = read(&text).expect("a sound file").plan(&mut |modality, section| {
        let call = (modality, section.clone());
        assert!(!seen.contains(&call), "resolved before: {section:?}");
        seen.push(call);
        Ok(section.clone())
    });
    // `prism` has neither views nor fine-tuning.
    assert_eq!((plan.expect("a plan").runs.len(), seen.len()), (18, 3));
    assert!(seen.iter().all(|(modality, section)| *modality == Modality::Image && section["image_size"] == 32));
}

#[test]
fn an_encoder_that_cannot_be_had_stops_the_plan() {
    let experiment = read(FILE).expect("a sound file");
    let error = experiment.plan(&mut |_, _| Err("no such file: w.safetensors".to_owned())).expect_err("no weights");
    assert_eq!(error.to_string(), "no such file: w.safetensors");
    assert!(matches!(error, PlanError::Encoder { modality: Modality::Image, .. }));
}

#[test]
fn a_run_that_arises_twice_is_listed_once() {
    let again = "[[method]]\nname = \"waves\"\nparams = { steps = 5, tau = 0.2 }\ntrain = { batch_size = 64 }\n";
    let (one, both) = (planned(FILE), planned(&format!("{FILE}\n{again}")));
    assert_eq!(one, both);
    let other = format!("{FILE}\n{again}label = \"Baseline\"\n");
    let error = plan(&read(&other).expect("a sound file")).expect_err("two rows hold one run");
    assert!(matches!(&error, PlanError::SharedRun { first, second, .. } if first == "Waves" && second == "Baseline"));
    assert_snapshot!(error);
}

#[test]
fn a_setting_is_what_seeds_have_in_common() {
    let plan = planned(FILE);
    for pair in plan.runs.chunks(2) {
        assert_eq!(pair[0].setting, pair[1].setting);
        assert_ne!(pair[0].id, pair[1].id);
    }
    let mut settings: Vec<_> = plan.runs.iter().map(|run| &run.setting).collect();
    settings.dedup();
    assert_eq!(settings.len(), plan.runs.len() / 2);
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

/// Lines that repeat the one before are neither rendered nor parsed whole.
#[test]
fn a_line_is_the_same_whatever_stands_before_it() {
    let plan = planned(FILE);
    let text = plan.to_jsonl();
    for (run, line) in plan.runs.iter().zip(text.lines().skip(1)) {
        let alone = Plan { runs: vec![run.clone()], ..plan.clone() }.to_jsonl();
        assert_eq!(alone.lines().nth(1), Some(line));
        assert_eq!(Plan::from_jsonl(&alone).unwrap().runs, std::slice::from_ref(run));
    }
    // A line in another form, and one that is not what its neighbors make of it.
    let (head, last) = text.trim_end().rsplit_once('\n').unwrap();
    let spaced = Plan::from_jsonl(&format!("{head}\n{}", last.replace("\"seed\":", "\"seed\": "))).unwrap();
    assert_eq!(spaced, plan);
    let seed = plan.runs.last().unwrap().seed;
    for other in [format!("\"seed\":{}", seed + 5), format!("\"seed\":0{seed}"), "\"seed\":\"1\"".to_owned()] {
        let damaged = last.replace(&format!("\"seed\":{seed}"), &other);
        assert_ne!(damaged, last);
        assert!(Plan::from_jsonl(&format!("{head}\n{damaged}")).is_err(), "{other}");
    }
}

/// Tables join the runs of a setting.
#[test]
fn a_setting_of_another_configuration_is_refused() {
    let plan = planned(FILE);
    let text = plan.to_jsonl();
    let lines: Vec<&str> = text.lines().collect();
    // The first of its kind, one that repeats the line before but for its seed, and one but for its code length.
    for at in [1, 2, 3] {
        let setting = |at: usize| format!("\"setting\":\"{}\"", plan.runs[at - 1].setting);
        for other in [setting(lines.len() - 1), setting(if at == 3 { 2 } else { 3 })] {
            let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            changed[at] = changed[at].replace(&setting(at), &other);
            assert_ne!(changed[at], lines[at]);
            let refused = Plan::from_jsonl(&changed.join("\n")).unwrap_err().to_string();
            let begin = format!("line {} of the plan: run {} has the setting ", at + 1, plan.runs[at - 1].id);
            assert!(refused.starts_with(&begin), "{refused}");
        }
    }
}

/// A file on a disk that fails in the middle.
#[test]
fn a_plan_that_cannot_be_read_is_not_called_damaged() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StaleNetworkFileHandle.into())
        }
    }
    let text = planned(FILE).to_jsonl();
    let half = &text.as_bytes()[..text.find('\n').unwrap() + 9];
    let read = |end: &mut dyn Read| Plan::read_jsonl(BufReader::new(half.chain(end))).unwrap_err();
    let refused = read(&mut Failing);
    assert!(matches!(refused, PlanError::Unreadable { line: 2, .. }), "{refused}");
    assert_eq!(refused.to_string(), "cannot read line 2 of the plan: stale network file handle");
    let refused = read(&mut &b"\xff"[..]);
    assert!(matches!(refused, PlanError::Stored { line: 2, .. }), "no text: {refused}");
}

#[test]
fn a_damaged_plan_is_refused() {
    let text = planned_under(FILE, &[], &["data.size=51"]).to_jsonl();
    let (head, last) = text.trim_end().rsplit_once('\n').expect("lines");
    let refusals = [
        Plan::from_jsonl(""),
        Plan::from_jsonl(head),
        Plan::from_jsonl(&text.replacen("\"schema\":2", "\"schema\":1", 1)),
        Plan::from_jsonl(&format!("{head}\n{}", last.replace("\"size\":51", "\"size\":52"))),
        Plan::from_jsonl(&format!("{head}\n{}", &last[..last.len() / 2])),
    ];
    let messages: Vec<String> = refusals.map(|r| r.expect_err("a damaged plan").to_string()).into();
    assert_snapshot!(messages.join("\n\n"));
}
