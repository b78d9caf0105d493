//! Which runs' models are kept.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use hashlab_report::{Outcome, ReportedRun};
use hashlab_store::{RunResult, Store, counted};
use hashlab_sweep::EXTERNAL_METHOD;
use rayon::prelude::*;

/// Which runs keep their model, `model.safetensors`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Those of the setting that the table selects for each row and code length.
    #[default]
    Selected,
    /// All.
    All,
    /// None.
    None,
}

impl Keep {
    /// Every choice with its name.
    pub const ALL: [(&'static str, Self); 3] = [("selected", Self::Selected), ("all", Self::All), ("none", Self::None)];

    /// Its name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Selected => "selected",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// Removes the models of all settings but the one that a table selects for each row and code length.
pub(crate) fn keep_selected(store: &Store, runs: &[ReportedRun]) -> Result<()> {
    let mut cells: BTreeMap<(&str, usize), Vec<&ReportedRun>> = BTreeMap::new();
    for run in runs {
        cells.entry((&run.label, run.bits)).or_default().push(run);
    }
    for runs in cells.values() {
        let selected = selected(runs);
        let others = runs.par_iter().filter(|run| Some(run.setting.as_str()) != selected);
        others.try_for_each(|run| store.run(&run.run)?.remove_model())?;
    }
    Ok(())
}

/// Warning for finished runs whose stored model does not match `keep`, since another one was in force.
pub(crate) fn keep_mismatch(store: &Store, runs: &[ReportedRun], keep: Keep) -> Result<Option<String>> {
    let wanted = match keep {
        Keep::Selected => return Ok(None),
        Keep::All => true,
        Keep::None => false,
    };
    let mut methods = BTreeSet::new();
    let mut count = 0;
    // External rows have no model.
    let trained = runs.iter().filter(|run| run.method != EXTERNAL_METHOD);
    for run in trained.filter(|run| result(run).is_some()) {
        if store.run(&run.run)?.model_path().exists() != wanted {
            methods.insert(run.method.as_str());
            count += 1;
        }
    }
    let rerun = methods.iter().map(|method| format!(" --rerun {method}")).collect::<String>();
    let (runs, have) = (counted(count, "finished run"), if count == 1 { "has" } else { "have" });
    Ok((count > 0).then(|| match wanted {
        true => format!("{runs} {have} no model, because none was kept before; `--keep all{rerun}` trains again"),
        false => format!("{runs} {have} a model from before, which `--keep none` does not remove"),
    }))
}

/// The setting with the best mean validation metric, among those whose seeds all finished if there are any.
fn selected<'r>(runs: &[&'r ReportedRun]) -> Option<&'r str> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut settings: Vec<(&str, Vec<&ReportedRun>)> = Vec::new();
    for run in runs {
        let place = *places.entry(&run.setting).or_insert(settings.len());
        match settings.get_mut(place) {
            Some((_, runs)) => runs.push(run),
            None => settings.push((&run.setting, vec![run])),
        }
    }
    let rank = |runs: &[&ReportedRun]| {
        let finished: Vec<&RunResult> = runs.iter().filter_map(|run| result(run)).collect();
        let scores: Vec<f64> = finished.iter().filter_map(|result| result.primary_validation()).collect();
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
