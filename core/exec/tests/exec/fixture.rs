//! Runs to store and to execute.

use hashlab_data::{ByModality, Modality, Task};
use hashlab_settings::Settings;
use hashlab_store::{RunConfig, RunDir, RunId, RunResult, SCHEMA, Status, Store, TaskResult};
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
        encoders: ByModality::one(Modality::Image, Settings::new()),
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

/// A result with the primary metric `map`.
pub(crate) fn result(run: &RunId, map: f64) -> RunResult {
    let metrics = TaskResult { metrics: [("map_at_k", map)].into(), ..TaskResult::default() };
    let test = [(Task::within(Modality::Image), metrics)].into();
    RunResult { epoch: Some(3), test, ..RunResult::empty(run.clone(), Status::Finished) }
}
