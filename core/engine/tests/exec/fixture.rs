//! Runs to store and to execute.

use std::collections::BTreeMap;

use hashlab_engine::record::SCHEMA;
use hashlab_engine::store::{RunDir, Store};
use hashlab_engine::{RunConfig, RunId, RunResult, Settings, Status};
use serde_json::json;

/// A configuration that differs from others in its seed.
pub(crate) fn config(seed: u64) -> RunConfig {
    let settings = |value: serde_json::Value| value.as_object().expect("an object").clone();
    RunConfig {
        schema: SCHEMA,
        method: "nsh".into(),
        revision: 1,
        params: settings(json!({ "tau": 0.3, "beta": 1.0 })),
        bits: 16,
        seed,
        dataset: "shapes".into(),
        dataset_identity: "1".into(),
        data: Settings::new(),
        protocol: "shapes-1".into(),
        split_seed: 0,
        backbone: Settings::new(),
        train: settings(json!({ "epochs": 3 })),
        eval: Settings::new(),
    }
}

/// The directory of the run of [`config`], prepared.
pub(crate) fn prepared(store: &Store, seed: u64) -> RunDir {
    let run = store.run(&config(seed).id()).unwrap();
    run.prepare(&config(seed)).unwrap();
    run
}

/// A result with the headline metric `map`.
pub(crate) fn result(run: &RunId, map: f64) -> RunResult {
    RunResult {
        schema: SCHEMA,
        run: run.clone(),
        status: Status::Finished,
        message: None,
        test: BTreeMap::from([("map_at_k".into(), map)]),
        validation: BTreeMap::new(),
        epoch: 3,
        curves: BTreeMap::new(),
        seconds: BTreeMap::new(),
        provenance: BTreeMap::new(),
    }
}
