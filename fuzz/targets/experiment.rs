//! Experiment files: `load` checks them against an invented catalog, and what it accepts is planned.
#![no_main]

// The catalog of the tests of core/sweep.
#[path = "../../core/sweep/tests/sweep/catalog.rs"]
mod catalog;
#[path = "../../core/sweep/tests/sweep/sections.rs"]
mod sections;

use std::path::Path;
use std::sync::LazyLock;

use hashlab_sweep::{Catalog, Overrides, load};
use libfuzzer_sys::fuzz_target;

static CATALOG: LazyLock<Catalog> = LazyLock::new(catalog::catalog);

fuzz_target!(|text: &str| {
    match load(text, Path::new("/nowhere/toy.toml"), &CATALOG, &Overrides::default()) {
        Err(wrong) => assert!(wrong.to_string().starts_with("error: ")),
        Ok(experiment) => {
            if let Ok(plan) = experiment.plan(&mut |_, section| Ok(section.clone())) {
                assert!(hashlab_sweep::Plan::from_jsonl(&plan.to_jsonl()).is_ok());
            }
        }
    }
});
