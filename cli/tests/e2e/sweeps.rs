//! A sweep runs what is missing, once.

use std::fs;

use hashlab_methods::METHODS;
use hashlab_store::RunState;
use hashlab_store::Status;

use crate::findings::Findings;
use crate::lab::{FILE, Lab, NAME, TINY};

#[test]
fn a_sweep_runs_its_plan_and_a_second_one_starts_nothing() {
    let lab = Lab::with(TINY);
    assert!(lab.runs().iter().all(|run| run.state() == RunState::Missing));

    let first = lab.run(&["sweep", FILE]);
    assert_eq!(first.code, Some(0), "{first:#?}");
    assert!(first.stderr.contains("[8/8]"), "{}", first.stderr);
    let found = Findings::of(&lab);

    let second = lab.run(&["sweep", FILE]);
    assert_eq!((second.code, second.stdout), (Some(0), first.stdout.clone()), "times included");
    assert!(!second.stderr.contains("started"), "{}", second.stderr);
    assert_eq!(lab.ok(&["table", NAME]), first.stdout);
    assert_eq!(lab.attempts(), [1; 6]);
    assert_eq!(Findings::of(&lab), found);
}

#[test]
fn every_registered_method_finishes() {
    let lab = Lab::with(TINY);
    // Those of several modalities are swept in crossmodal.rs.
    let methods: Vec<&str> = METHODS
        .iter()
        .map(|method| method.info)
        .filter(|info| info.needs.fixed().is_none())
        .map(|info| info.name)
        .collect();
    let (shared, _) = TINY.split_once("[[method]]").expect("methods come last");
    let tables: String = methods.iter().map(|method| format!("[[method]]\nname = \"{method}\"\n")).collect();
    // Some need more items than they have anchors.
    let shared = shared.replace("items = 300", "items = 500").replace("seeds = [0, 1]", "seeds = [0]");
    lab.write(FILE, shared + &tables);
    lab.ok(&["sweep", FILE]);
    assert!(methods.contains(&"cibhash") && lab.runs().len() == methods.len(), "{methods:?}");
    for run in lab.runs() {
        assert!(matches!(run.state(), RunState::Finished(result) if result.status == Status::Finished), "{}", run.id());
    }
}

#[test]
fn the_built_in_experiment_needs_no_file() {
    let lab = Lab::with("");
    let plan = lab.ok(&["plan"]);
    assert!(plan.starts_with("quickstart: shapes with protocol shapes, "), "{plan}");
    let few = ["--set", "data.items=60", "--set", "train.epochs=1", "--set", "bits=[16]", "--set", "seeds=[0]"];
    let table = lab.ok(&[&["sweep", "--no-times"], &few[..]].concat());
    assert!(table.starts_with("Shapes (protocol shapes): mAP@all\n"), "{table}");
    assert_eq!(lab.ok(&["table", "quickstart", "--no-times"]), table);
}

#[test]
fn a_longer_plan_runs_only_what_it_adds() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let before = Findings::of(&lab);
    lab.write(FILE, TINY.replace("seeds = [0, 1]", "seeds = [1, 0, 2]"));
    lab.ok(&["sweep", FILE]);
    assert_eq!(lab.attempts(), [1; 9]);
    let after = Findings::of(&lab);
    assert!(before.runs.iter().all(|run| after.runs.contains(run)));
    assert_ne!(after.table, before.table);
}

#[test]
fn settings_from_outside_make_runs_of_their_own() {
    let lab = Lab::with(TINY);
    let overridden = ["plan", FILE, "--set", "train.epochs=9"];
    let [plain, flag] = [lab.ok(&["plan", FILE]), lab.ok(&overridden)];
    let variable = lab.command(&["plan", FILE]).env("HASHLAB_SET_TRAIN__EPOCHS", "9").output().unwrap();
    assert_eq!(String::from_utf8(variable.stdout).unwrap(), flag);
    let beaten = lab.command(&overridden).env("HASHLAB_SET_TRAIN__EPOCHS", "7").output().unwrap();
    assert_eq!(String::from_utf8(beaten.stdout).unwrap(), flag, "--set beats the environment");

    // Shallow methods have no epochs: their runs stay.
    let runs =
        |plan: &str| plan.split("\n\n").next().unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let same = runs(&plain).iter().filter(|line| runs(&flag).contains(line)).count();
    assert_eq!(same, 1 + 4, "{plain}{flag}");
}

#[test]
fn two_sweeps_at_once_share_the_work() {
    let lab = Lab::with(&TINY.replace("epochs = 8", "epochs = 60"));
    let dirs = ["--runs", "runs", "--cache-dir", "cache"];
    let sweep = [&dirs[..], &["sweep", FILE, "--no-times"]].concat();
    let both = [lab.start(&sweep), lab.start(&sweep)].map(|sweep| sweep.end());
    let [first, second] = &both;
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{both:#?}");
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(lab.attempts(), [1; 6], "each run is executed by one of them: {both:#?}");
    assert!(lab.path("cache").is_dir() && !lab.path("runs/cache").exists());
}

#[test]
fn a_sweep_leaves_its_file_and_its_table_beside_the_runs() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let [plan] = &lab.plans()[..] else { panic!("{:?}", lab.plans()) };
    assert_eq!(lab.read("runs/sweeps/tiny/newest").trim(), plan);
    let kept = |name: &str| lab.read(&format!("runs/sweeps/tiny/{plan}/{name}"));
    assert_eq!(kept("sweep.toml"), TINY);
    assert_eq!(kept("command"), "hashlab sweep tiny.toml");
    assert_eq!(kept("results.jsonl"), lab.ok(&["table", NAME, "--format", "jsonl"]));
    assert_eq!(kept("table.md"), lab.ok(&["table", NAME, "--format", "markdown"]));
    for run in lab.runs_of("cibhash") {
        let log = fs::read_to_string(run.log_path()).unwrap();
        assert!(log.contains("epoch done epoch=8 loss="), "{log}");
        assert!(!log.contains('\x1b'), "a file is no terminal: {log}");
    }
}
