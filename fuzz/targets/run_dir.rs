//! The records of a run directory: configuration, result, journal, attempts and what pages show.
#![no_main]

use std::sync::LazyLock;

use hashlab_fuzz::Folder;
use hashlab_store::{RunDir, RunId, Store};
use libfuzzer_sys::fuzz_target;

const RUN: &str = "nsh-b16-s0-1f0c2a9b7d3e";
const RECORDS: [&str; 9] = [
    "result.json",
    "metrics.jsonl",
    "attempts.jsonl",
    "error.json",
    "stopped.json",
    "queries.json",
    "items.json",
    "codes.json",
    "log.txt",
];

static RUNS: LazyLock<(Folder, Store, RunDir)> = LazyLock::new(|| {
    let folder = Folder::new();
    let store = Store::open(folder.path());
    let run = store.run(&RunId(RUN.to_owned())).expect("the name is well formed");
    let config = format!("store/1f/{RUN}/config.json");
    folder.write(&config, b"");
    let others = RECORDS.map(|record| format!("store/1f/{RUN}/{record}"));
    folder.link(&config, &others.each_ref().map(String::as_str));
    (folder, store, run)
});

fuzz_target!(|bytes: &[u8]| {
    let (folder, store, run) = &*RUNS;
    folder.write(&format!("store/1f/{RUN}/config.json"), bytes);
    let _ = run.config();
    let _ = run.result();
    let _ = (run.metrics(), run.attempts(), run.state());
    let _ = (run.failure(), run.stopped(), run.queries(), run.items(), run.codes(), run.log_tail(100));
    let _ = store.results([run.id()]);
});
