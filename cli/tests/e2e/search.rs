//! Searches: points that are drawn, or proposed from results.

use hashlab_store::RunState;

use crate::findings::Findings;
use crate::lab::{FILE, Lab, until};

const TPE: &str = r#"dataset = "shapes"
bits = [16]
seeds = [0, 1]

[data]
items = 200
size = 16

[image]
image_size = 16
views = 4

[train]
epochs = 20
batch_size = 32
validate_every = 10

[[method]]
name = "cibhash"
search = "tpe"
trials = 16
generation = 3

[method.grid]
tau = { low = 0.05, high = 2, scale = "log" }
"train.learning_rate" = { low = 1e-5, high = 1e-2, scale = "log" }
"#;

const SWEEP: [&str; 4] = ["sweep", FILE, "--jobs", "2"];

#[test]
fn an_interrupted_search_goes_on_with_the_same_trials() {
    let whole = Lab::with(TPE);
    let before = whole.ok(&["plan", FILE]);
    assert!(before.contains("20 runs") && before.contains("6 further trials"), "{before}");
    whole.ok(&SWEEP);
    assert_eq!(whole.runs().len(), 32);
    assert_eq!(whole.plans().len(), 3, "10, 13 and 16 trials");
    let after = whole.ok(&["plan", FILE]);
    assert!(after.contains("32 runs") && !after.contains("further"), "{after}");

    let lab = Lab::with(TPE);
    for count in [12, 22, 28] {
        let sweep = lab.start(&SWEEP);
        let done = || lab.runs().iter().filter(|run| run.result().is_some()).count();
        until("results", || done() >= count);
        sweep.kill();
        until("the runs are let go", || lab.runs().iter().all(|run| run.state() != RunState::Running));
    }
    lab.ok(&SWEEP);
    assert_eq!(Findings::of(&lab), Findings::of(&whole));
}

#[test]
fn more_trials_keep_the_results_of_the_first_ones() {
    let sobol =
        TPE.replace("\"tpe\"", "\"sobol\"").replace("generation = 3\n", "").replace("trials = 16", "trials = 2");
    let lab = Lab::with(&sobol);
    lab.ok(&SWEEP);
    let first = lab.ids();
    lab.write(FILE, sobol.replace("trials = 2", "trials = 3"));
    let plan = lab.ok(&["plan", FILE]);
    assert!(plan.contains("4 finished, 2 missing"), "{plan}");
    assert!(lab.ids().starts_with(&first));
}
