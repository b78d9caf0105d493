//! Configurations beside results.

use std::fs;

use hashlab_store::{EXTERNAL_METHOD, RunConfig, RunDir, RunState, StoreError};

use crate::fixture::{config, prepared, result};
use crate::{claim, store};

#[test]
fn a_configuration_is_written_once() {
    let (_root, store) = store();
    let run = prepared(&store, 0);
    let path = run.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"params\": {\n    \"beta\": 1.0,\n    \"tau\": 0.3\n  }"), "keys are sorted:\n{text}");
    assert_eq!(run.config().unwrap(), config(0));

    run.prepare(&config(0)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert!(matches!(run.prepare(&config(1)), Err(StoreError::OtherRun { .. })));

    fs::write(&path, text.replace("\"bits\": 16", "\"bits\": 32")).unwrap();
    assert!(matches!(run.prepare(&config(0)), Err(StoreError::Changed(_))));
    assert!(matches!(run.config(), Err(StoreError::Changed(_))));

    fs::write(&path, &text[..40]).unwrap();
    assert!(matches!(run.config(), Err(StoreError::Damaged { .. })));
    run.prepare(&config(0)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

/// The advice for a run's damaged configuration.
fn advice(run: &RunDir) -> String {
    fs::write(run.path().join("config.json"), "{").unwrap();
    let refused = run.config().unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    refused.to_string().split_once("\nhelp: ").unwrap().1.to_owned()
}

#[test]
fn advice_for_a_damaged_configuration_is_what_a_sweep_does() {
    let (_root, store) = store();
    let run = prepared(&store, 0);
    assert_eq!(advice(&run), "start the sweep again: it writes the file anew");
    claim(&run).finish(&result(run.id(), 0.5)).unwrap();
    let left_alone = "the run has a result, so that a sweep leaves it alone";
    let again = format!("`sweep FILE --rerun {}` executes it again and writes the file anew", run.id());
    assert_eq!(advice(&run), format!("{left_alone}; {again}"));
    // A sweep executes a run whose result is damaged.
    fs::write(run.path().join("result.json"), "{").unwrap();
    assert!(!matches!(run.state(), RunState::Finished(_)));
    assert_eq!(advice(&run), "start the sweep again: it writes the file anew");
    // Codes that others computed, which no flag measures again.
    let external = RunConfig { method: EXTERNAL_METHOD.to_owned(), ..config(0) };
    let run = store.run(&external.id()).unwrap();
    run.prepare(&external).unwrap();
    claim(&run).finish(&result(run.id(), 0.5)).unwrap();
    let again = format!("remove `{}`, and the sweep measures the codes again", run.path().display());
    assert_eq!(advice(&run), format!("{left_alone}; {again}"));
}
