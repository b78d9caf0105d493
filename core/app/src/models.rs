//! Which runs' models are kept.

use std::collections::BTreeMap;

use anyhow::Result;
use hashlab_report::{Outcome, PRIMARY_METRIC, ReportedRun};
use hashlab_store::{RunResult, Store};

/// Removes the models of all settings but the one that a table selects for each row and code length.
pub(crate) fn keep_selected(store: &Store, runs: &[ReportedRun]) -> Result<()> {
    let mut cells: BTreeMap<(&str, usize), Vec<&ReportedRun>> = BTreeMap::new();
    for run in runs {
        cells.entry((&run.label, run.bits)).or_default().push(run);
    }
    for runs in cells.values() {
        let selected = selected(runs);
        for run in runs.iter().filter(|run| Some(run.setting.as_str()) != selected) {
            store.run(&run.run)?.remove_model()?;
        }
    }
    Ok(())
}

/// The setting with the best mean validation metric, among those whose seeds all finished if there are any.
fn selected<'r>(runs: &[&'r ReportedRun]) -> Option<&'r str> {
    let mut settings: Vec<(&str, Vec<&ReportedRun>)> = Vec::new();
    for run in runs {
        match settings.iter_mut().find(|(setting, _)| *setting == run.setting) {
            Some((_, runs)) => runs.push(run),
            None => settings.push((&run.setting, vec![run])),
        }
    }
    let rank = |runs: &[&ReportedRun]| {
        let finished: Vec<&RunResult> = runs.iter().filter_map(|run| result(run)).collect();
        let scores: Vec<f64> = finished.iter().filter_map(|result| result.mean_validation(PRIMARY_METRIC)).collect();
        let mean = (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64);
        (finished.len() == runs.len(), mean)
    };
    let mut best: Option<(&str, (bool, Option<f64>))> = None;
    for (setting, runs) in &settings {
        let rank = rank(runs);
        if best.is_none_or(|(_, highest)| rank > highest) {
            best = Some((setting, rank));
        }
    }
    best.map(|(setting, _)| setting)
}

fn result(run: &ReportedRun) -> Option<&RunResult> {
    match &run.outcome {
        Outcome::Finished(result) => Some(result),
        _ => None,
    }
}
