//! Checks of facts beyond the settings: files of encoder sections, and the requirements of methods.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hashlab_data::{DataKind, EncoderFacts, Modality, RunFacts};
use hashlab_settings::{Violation, Violations, canonical};
use serde_json::Value;

use crate::constraints::diagnostic;
use crate::diagnostic::{Diagnostic, Span};
use crate::layers::Merged;
use crate::section::Section;

/// The key of the top level with the code lengths.
const BITS: &str = "bits";

/// The key of `[train]` with the items per step.
const BATCH_SIZE: &str = "batch_size";

/// The key of `[train]` with the devices that encoders are trained on.
const DEVICES: &str = "devices";

/// The key of `[image]` and `[text]` that has the encoder trained along with the method.
const FINETUNE: &str = "finetune";

/// Cache of inspected encoder sections.
pub(crate) struct Inspected {
    known: Mutex<BTreeMap<(Modality, String), Result<EncoderFacts, Violations>>>,
    /// Number of training items, if the data set is here.
    train_items: Option<usize>,
}

/// Reports unusable files of a grid point's encoder sections; if there are none, the violations of its method. Expects
/// sections that satisfy their own schemas.
pub(crate) fn check(
    merged: &Merged<'_>,
    modalities: &[Modality],
    inspected: &Inspected,
    owner: &Span,
) -> Vec<Diagnostic> {
    let deep = merged.scope.method.is_some_and(|method| method.deep);
    let batch_size = merged.table(Section::Train).get(BATCH_SIZE).and_then(|size| usize::try_from(size.as_u64()?).ok());
    let batch_size = batch_size.filter(|_| deep);
    let mut run = RunFacts { train_items: inspected.train_items, batch_size, ..RunFacts::default() };
    let mut found = Vec::new();
    for &modality in modalities {
        let section = Section::Encoder(modality);
        match inspected.look(merged, modality) {
            Ok(facts) => {
                if let Some(dim) = facts.dim {
                    run.dims.insert(modality, dim);
                }
                if let Some(views) = facts.views {
                    run.views.insert(modality, views);
                }
            }
            Err(broken) => found.extend(broken.iter().map(|one| diagnostic(merged, section, one, owner))),
        }
    }
    found.extend(check_finetuning(merged, modalities, owner));
    found.extend(check_devices(merged, modalities, owner).filter(|_| deep));
    if found.is_empty() { check_method(merged, run, owner) } else { found }
}

/// Reports a grid point that trains the encoder of one modality and not that of another.
fn check_finetuning(merged: &Merged<'_>, modalities: &[Modality], owner: &Span) -> Option<Diagnostic> {
    let (trained, frozen): (Vec<Modality>, Vec<Modality>) =
        modalities.iter().partition(|one| is_trained(merged, **one));
    let (trained, frozen) = (*trained.first()?, *frozen.first()?);
    let span = merged.assignment(Section::Encoder(trained), FINETUNE).map_or(owner, |assignment| &assignment.span);
    let message = format!("`{FINETUNE}` trains the encoder of {trained}s, and that of {frozen}s stays frozen");
    let help = format!("set `{FINETUNE}` in `[{trained}]` and in `[{frozen}]`, or in neither");
    Some(Diagnostic::new(span, message).help(help))
}

/// Reports a grid point with several devices that trains no encoder, whose batches they would divide.
fn check_devices(merged: &Merged<'_>, modalities: &[Modality], owner: &Span) -> Option<Diagnostic> {
    let devices = merged.table(Section::Train).get(DEVICES).and_then(Value::as_u64).filter(|devices| *devices > 1)?;
    if modalities.iter().any(|modality| is_trained(merged, *modality)) {
        return None;
    }
    let span = merged.assignment(Section::Train, DEVICES).map_or(owner, |assignment| &assignment.span);
    let message = format!("`{DEVICES} = {devices}` divides the work of encoders that are trained, and here none is");
    let help = format!("set `{FINETUNE}` in `[image]` or `[text]`, or `train = {{ {DEVICES} = 1 }}` in this method");
    Some(Diagnostic::new(span, message).help(help))
}

/// Whether the encoder of a modality is trained along with the method.
fn is_trained(merged: &Merged<'_>, modality: Modality) -> bool {
    merged.table(Section::Encoder(modality)).get(FINETUNE).and_then(Value::as_bool).unwrap_or_default()
}

impl Inspected {
    /// Nothing inspected yet, of a data set with `train_items`.
    pub(crate) fn new(train_items: Option<usize>) -> Self {
        Self { known: Mutex::default(), train_items }
    }

    fn look(&self, merged: &Merged<'_>, modality: Modality) -> Result<EncoderFacts, Violations> {
        let kind = merged.scope.description.and_then(|data| data.modalities.get(modality));
        if kind.is_none_or(|kind| *kind == DataKind::Features) {
            return Ok(EncoderFacts::default());
        }
        let section = merged.table(Section::Encoder(modality));
        let key = (modality, canonical(&section.clone().into()));
        // The lock is held meanwhile: each section is inspected once, and one at a time, as `Inspect` promises.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key).or_insert_with(|| (merged.scope.catalog.inspect)(modality, section)).clone()
    }
}

/// Checks a method for every code length of its runs.
fn check_method(merged: &Merged<'_>, run: RunFacts, owner: &Span) -> Vec<Diagnostic> {
    let Some(method) = merged.scope.method else { return Vec::new() };
    let params = merged.table(Section::Params);
    let general = merged.table(Section::General);
    let bits = general.get(BITS).and_then(|bits| bits.as_array()).into_iter().flatten();
    let bits = bits.filter_map(|bits| usize::try_from(bits.as_u64()?).ok());
    let broken = bits.flat_map(|bits| {
        let found = (method.check)(params, &RunFacts { bits, ..run.clone() });
        found.iter().cloned().collect::<Vec<_>>()
    });
    broken.map(|one| at_its_key(merged, &one, owner)).collect()
}

/// A violation whose keys are those of a grid, or `bits`.
fn at_its_key(merged: &Merged<'_>, violation: &Violation, owner: &Span) -> Diagnostic {
    let place = |key: &str| {
        if key == BITS {
            return (Section::General, key.to_owned());
        }
        let dotted = key.split_once('.');
        let section = dotted.and_then(|(name, _)| Section::varied().into_iter().find(|one| one.key() == name));
        match (section, dotted) {
            (Some(section), Some((_, key))) => (section, key.to_owned()),
            _ => (Section::Params, key.to_owned()),
        }
    };
    let places: Vec<(Section, String)> = violation.keys.iter().map(|key| place(key)).collect();
    let section = places.first().map_or(Section::Params, |(section, _)| *section);
    let keys = places.into_iter().filter(|(of, _)| *of == section).map(|(_, key)| key).collect();
    diagnostic(merged, section, &Violation { keys, message: violation.message.clone() }, owner)
}
