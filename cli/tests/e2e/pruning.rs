//! Runs that are stopped early: the survivors are those of a whole sweep, and the others can go on.

use std::fs;
use std::sync::LazyLock;

use hashlab_store::{RunDir, RunState};
use serde_json::Value;

use crate::findings::Findings;
use crate::lab::{FILE, Lab, NAME, until};

/// Nine settings of two seeds, which meet after 2 and 6 epochs of 60; and a method that has no epochs.
const PRUNED: &str = r#"dataset = "shapes"
bits = [16]
seeds = [0, 1]

[data]
items = 200
size = 16

[image]
image_size = 16
views = 4

[train]
epochs = 60
batch_size = 32
validate_every = 2

[pruning]
method = "successive_halving"
min_epochs = 2
eta = 3

[[method]]
name = "itq"

[[method]]
name = "cibhash"
search = "sobol"
trials = 9

[method.grid]
tau = { low = 0.05, high = 2, scale = "log" }
"train.learning_rate" = { low = 1e-5, high = 1e-2, scale = "log" }
"#;

const SWEEP: [&str; 4] = ["sweep", FILE, "--jobs", "2"];

fn unpruned() -> String {
    PRUNED.replace("method = \"successive_halving\"\nmin_epochs = 2\neta = 3\n", "method = \"none\"\n")
}

/// Where runs are to stop, and what the sweep finds if none is stopped.
static WHOLE: LazyLock<(Vec<Option<usize>>, Findings)> = LazyLock::new(|| {
    let lab = Lab::with(&unpruned());
    lab.ok(&SWEEP);
    (expected_stops(&lab), Findings::of(&lab))
});

/// The epoch at which each run stays stopped; `None` for one with a result.
fn stops(lab: &Lab) -> Vec<Option<usize>> {
    let stop = |run: &RunDir| match run.state() {
        RunState::Stopped { epoch } => Some(epoch),
        RunState::Finished(_) => None,
        other => panic!("{}: {other:?}", run.id()),
    };
    lab.runs().iter().map(stop).collect()
}

/// The stops that follow from the validations of whole runs, by the rule as a reader would apply it by hand.
fn expected_stops(whole: &Lab) -> Vec<Option<usize>> {
    let runs = whole.runs();
    let validation = |run: &RunDir, epoch: u64| {
        let points = run.metrics().into_iter().filter(|point| point.step <= epoch);
        points.filter_map(|point| point.values.get("validation_map").copied().flatten()).fold(f64::MIN, f64::max)
    };
    let mut stops = vec![None; runs.len()];
    // The runs of ITQ come first; then two seeds per setting.
    let mut left: Vec<usize> = (0..9).map(|setting| runs.len() - 18 + 2 * setting).collect();
    for (epoch, keep) in [(2, 3), (6, 1), (18, 1), (54, 1)] {
        let mean = |at: &usize| validation(&runs[*at], epoch) + validation(&runs[at + 1], epoch);
        let mut ranked = left.clone();
        ranked.sort_by(|a, b| mean(b).total_cmp(&mean(a)).then(a.cmp(b)));
        for at in ranked.split_off(keep) {
            stops[at] = Some(epoch as usize);
            stops[at + 1] = Some(epoch as usize);
        }
        left = ranked;
    }
    stops
}

#[test]
fn survivors_are_the_runs_of_a_whole_sweep_and_the_others_can_go_on() {
    let (expected, findings) = &*WHOLE;
    let lab = Lab::with(PRUNED);
    let ended = lab.run(&SWEEP);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("16 of 18 runs stopped early"), "{}", ended.stderr);
    assert!(ended.stderr.contains("912 of 1080 epochs (84 %), about "), "{}", ended.stderr);

    let stops = stops(&lab);
    assert_eq!(stops, *expected);
    assert_eq!(stops.iter().filter(|stop| **stop == Some(2)).count(), 12);
    for ((run, stop), same) in lab.runs().iter().zip(&stops).zip(&findings.runs) {
        let found = fs::read_to_string(run.path().join("metrics.jsonl")).unwrap();
        assert!(same.metrics.starts_with(&found), "{}: a part of the whole run", run.id());
        match stop {
            Some(_) => assert!(run.result().is_none() && run.read_checkpoint().is_some(), "{}", run.id()),
            None => assert_eq!(crate::findings::RunFindings::of(run), *same),
        }
    }

    let table = lab.ok(&["table", NAME, "--no-times"]);
    assert!(table.contains("Stopped early") && table.contains("12 at epoch 2, 4 at epoch 6 of 18 runs"), "{table}");
    assert!(!table.contains("missing"), "{table}");
    assert!(lab.ok(&["table", NAME, "--all"]).contains("stopped at epoch 2"));
    let page = lab.read(&format!("runs/sweeps/{NAME}/{}/report.html", lab.newest()));
    assert!(page.contains(">stopped<"), "the page names the state");
    let plan = lab.ok(&["plan", FILE]);
    assert!(plan.contains("16 stopped"), "{plan}");
    assert_eq!(lab.ok(&["plan", FILE, "--format", "commands"]), "", "nothing is left to do");

    // Again, there is nothing to do; without pruning, all go on.
    let attempts = lab.attempts();
    assert_eq!(lab.run(&SWEEP).code, Some(0));
    assert_eq!(lab.attempts(), attempts);
    lab.write(FILE, unpruned());
    lab.ok(&SWEEP);
    assert_eq!(Findings::of(&lab), *findings);
    assert!(lab.runs().iter().all(|run| run.attempts().len() <= 3), "nothing was begun anew");
}

#[test]
fn a_pruned_sweep_that_is_killed_ends_with_the_same_survivors() {
    let lab = Lab::with(PRUNED);
    let begun = || lab.runs_of("cibhash").iter().filter(|run| !run.attempts().is_empty()).count();
    let stopped = |epoch: usize| {
        let runs = lab.runs_of("cibhash").into_iter();
        runs.filter(|run| run.stopped().is_some_and(|stopped| stopped.epoch >= epoch)).count()
    };
    let moments: [(&str, &dyn Fn() -> bool); 3] = [
        ("some runs have begun", &|| begun() >= 5),
        ("some runs have reached the first rung", &|| stopped(2) >= 9),
        ("some runs have reached the second rung", &|| stopped(6) >= 2),
    ];
    for (what, moment) in moments {
        let sweep = lab.start(&SWEEP);
        until(what, moment);
        sweep.kill();
        until("the runs are let go", || lab.runs().iter().all(|run| run.state() != RunState::Running));
    }
    lab.ok(&SWEEP);
    assert_eq!(stops(&lab), WHOLE.0);
    lab.write(FILE, unpruned());
    lab.ok(&SWEEP);
    assert_eq!(Findings::of(&lab), WHOLE.1);
}

#[test]
fn a_run_that_fails_holds_its_rung_back_until_it_is_repeated() {
    let lab = Lab::with(PRUNED);
    let victim = &lab.runs_of("cibhash")[3];
    // Nothing can be written in the place of a folder.
    let blocked = victim.path().join("stopped.json");
    fs::create_dir_all(&blocked).unwrap();
    let ended = lab.run(&SWEEP);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    let cibhash = lab.runs_of("cibhash");
    assert!(cibhash.iter().all(|run| run.stopped().is_none_or(|stopped| stopped.epoch == 2)), "none went on");
    assert!(lab.runs_of("itq").iter().all(|run| run.result().is_some()));
    fs::remove_dir(&blocked).unwrap();
    lab.ok(&SWEEP);
    assert_eq!(stops(&lab), WHOLE.0);
}

/// The decisions of the newest plan.
fn decisions(lab: &Lab) -> Vec<Value> {
    let path = lab.path(&format!("runs/sweeps/{NAME}/{}/asha.jsonl", lab.newest()));
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rule by hand: among those of its row, code length and seed that came before it, one of three goes on.
fn assert_by_the_rule(decisions: &[Value]) {
    for (at, one) in decisions.iter().enumerate() {
        let same = |other: &&Value| ["rung", "contest"].iter().all(|key| other[key] == one[key]);
        let before: Vec<f64> =
            decisions[..at].iter().filter(same).map(|other| other["validation"].as_f64().unwrap()).collect();
        let better = before.iter().filter(|other| **other >= one["validation"].as_f64().unwrap()).count();
        assert_eq!(one["goes_on"], better < ((before.len() + 1) / 3).max(1), "{one} after {before:?}");
    }
}

#[test]
fn asynchronous_halving_records_what_it_decides() {
    let lab = Lab::with(&PRUNED.replace("successive_halving", "asha"));
    // Killed twice in between: what was decided holds.
    let mut known = Vec::new();
    for count in [3, 12] {
        let sweep = lab.start(&SWEEP);
        until("decisions", || {
            lab.path(&format!("runs/sweeps/{NAME}/newest")).exists() && decisions(&lab).len() >= count
        });
        sweep.kill();
        until("the runs are let go", || lab.runs().iter().all(|run| run.state() != RunState::Running));
        let now = decisions(&lab);
        assert_eq!(now[..known.len()], known, "earlier decisions stay");
        known = now;
    }
    let ended = lab.run(&SWEEP);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let all = decisions(&lab);
    assert_eq!(all[..known.len()], known);
    assert_by_the_rule(&all);
    assert_eq!(all.iter().filter(|one| one["rung"] == 2).count(), 18, "every run reaches the first rung");

    for (run, same) in lab.runs().iter().zip(&WHOLE.1.runs) {
        let of_run = |one: &&Value| one["run"] == run.id().0;
        match all.iter().rfind(of_run) {
            Some(last) if last["goes_on"] == false => {
                let epoch = last["rung"].as_u64().unwrap() as usize;
                assert_eq!(run.state(), RunState::Stopped { epoch });
                assert!(run.read_checkpoint().is_some());
            }
            _ => assert_eq!(crate::findings::RunFindings::of(run), *same),
        }
    }
    let attempts = lab.attempts();
    lab.ok(&SWEEP);
    assert_eq!((lab.attempts(), decisions(&lab)), (attempts, all));
    lab.write(FILE, unpruned());
    lab.ok(&SWEEP);
    assert_eq!(Findings::of(&lab), WHOLE.1);
}

#[test]
fn what_cannot_be_pruned_is_refused() {
    let refused = |change: (&str, &str)| Lab::with(&PRUNED.replace(change.0, change.1)).refused(&["plan", FILE]);
    let early = refused(("min_epochs = 2", "min_epochs = 1"));
    assert!(early.contains("before the first validation after 2") && early.contains("tiny.toml:20:14"), "{early}");
    let blind = refused(("validate_every = 2", "select = \"last\""));
    assert!(blind.contains("`select` must be \"best\""), "{blind}");
    let unknown = refused(("successive_halving", "median"));
    assert!(unknown.contains("`method` must be `none`, `successive_halving` or `asha`"), "{unknown}");
    let eta = refused(("eta = 3", "eta = 1"));
    assert!(eta.contains("`eta` must be at least 2"), "{eta}");
}
