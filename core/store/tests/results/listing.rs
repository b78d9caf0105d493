//! Lists of many runs.

use std::collections::BTreeSet;
use std::fs;

use hashlab_store::{Remarks, RunDir, RunResult, SharedConfig, Status, Store};

use crate::claim;
use crate::fixture::{prepared, result};

#[test]
fn every_run_is_listed_with_state_result_and_remarks() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path());
    assert!(store.listed().unwrap().is_empty());
    let runs: Vec<RunDir> = (0..5).map(|seed| prepared(&store, seed)).collect();
    claim(&runs[0]).finish(&result(runs[0].id(), 0.5)).unwrap();
    claim(&runs[1]).finish(&RunResult::empty(runs[1].id().clone(), Status::Diverged)).unwrap();
    claim(&runs[2]).fail("no luck").unwrap();
    let held = claim(&runs[3]);
    let remarks = Remarks { tags: BTreeSet::from(["baseline".to_owned()]), note: Some("a note".to_owned()) };
    runs[0].write_remarks(&remarks).unwrap();
    // What is no run is passed over; a run without its configuration is listed.
    fs::create_dir(runs[0].path().with_file_name("not a run")).unwrap();
    fs::remove_file(runs[4].path().join("config.json")).unwrap();

    let listed = store.listed().unwrap();
    assert!(listed.is_sorted_by_key(|run| run.run.clone()));
    let of = |run: &RunDir| listed.iter().find(|listed| &listed.run == run.id()).unwrap();
    let states: Vec<&str> = runs.iter().map(|run| of(run).state).collect();
    assert_eq!(states, ["finished", "diverged", "failed", "running", "missing"]);
    assert_eq!(listed.len(), 5);
    assert_eq!(of(&runs[0]).remarks, remarks);
    assert_eq!(of(&runs[0]).result.as_deref(), runs[0].result().as_ref());
    assert_eq!(of(&runs[0]).config.as_ref().map(SharedConfig::config), runs[0].config().ok());
    assert!(of(&runs[4]).config.is_none());
    assert!(of(&runs[0]).changed.is_some() && of(&runs[4]).changed.is_none());
    drop(held);
}
