//! An experiment: the file under its overrides, checked as a whole.

use std::path::Path;

use super::arm::{Arm, arms};
use super::diagnose::{Mistake, Mistakes, Source};
use super::keys::Scope;
use super::layer::{Layer, Setting};
use super::overrides::Overrides;
use super::read::Reader;
use super::tree::{self, Field};
use super::{idle, whole};
use crate::{Catalog, DatasetDecl, ProtocolDecl};

/// A checked experiment, ready to be planned.
pub struct Experiment {
    pub(crate) name: String,
    pub(crate) catalog: Catalog,
    pub(crate) dataset: DatasetDecl,
    pub(crate) protocol: ProtocolDecl,
    pub(crate) layers: Layers,
    pub(crate) arms: Vec<Arm>,
}

/// The layers that all arms share, the lowest first. The defaults are below them.
#[derive(Default)]
pub(crate) struct Layers {
    file: Layer,
    env: Layer,
    set: Layer,
}

impl Layers {
    /// Stacks the layers with an arm's own between the file and what stands above it.
    pub(crate) fn around<'a>(&'a self, arm: &[&'a [Setting]]) -> Vec<&'a [Setting]> {
        [&[self.file.as_slice()], arm, &[&self.env, &self.set]].concat()
    }
}

/// Reads an experiment file under its overrides: defaults < file < arm < grid point < environment < flags.
///
/// `origin` names the file in diagnostics and the experiment in its results.
///
/// # Errors
/// Every mistake in the file, the environment and the flags; where one of them is not even TOML, only those.
pub fn load(text: &str, origin: &Path, catalog: &Catalog, overrides: &Overrides) -> Result<Experiment, Mistakes> {
    let file = Source { path: Some(origin.display().to_string()), text: text.to_owned() };
    let mut sources = vec![file];
    let trees = [tree::document(text, 0), overrides.environment(&mut sources), overrides.flags(&mut sources)];
    let name = origin.file_stem().unwrap_or("experiment".as_ref()).to_string_lossy().into_owned();
    let loaded = parsed(trees).and_then(|trees| check(name, &trees, catalog));
    loaded.map_err(|mistakes| Mistakes::new(sources, mistakes))
}

/// The trees of file, environment and flags; or what is wrong with any of them.
fn parsed(trees: [Result<Vec<Field>, Vec<Mistake>>; 3]) -> Result<[Vec<Field>; 3], Vec<Mistake>> {
    match trees {
        [Ok(file), Ok(env), Ok(set)] => Ok([file, env, set]),
        broken => Err(broken.into_iter().filter_map(Result::err).flatten().collect()),
    }
}

fn check(name: String, trees: &[Vec<Field>; 3], catalog: &Catalog) -> Result<Experiment, Vec<Mistake>> {
    let named = whole::topmost(trees, "dataset").map(|field| field.node.value());
    let dataset = catalog.datasets.iter().find(|d| named.as_ref().is_some_and(|name| *name == d.name));
    let scope = Scope { catalog, dataset, method: None };
    let mut reader = Reader { scope, mistakes: whole::missing(trees, catalog) };
    let [file, env, set] = trees;
    let layers = Layers { file: reader.shared(file), env: reader.shared(env), set: reader.shared(set) };
    let mut arms = arms(&mut reader, file);
    for arm in &mut arms {
        // An override takes the place of all the values that a grid would have tried.
        arm.axes.retain(|axis| !layers.env.iter().chain(&layers.set).any(|above| above.same_key(&axis[0])));
    }
    let mut mistakes = reader.mistakes;
    let protocol = whole::protocol(trees, scope, &layers).map_err(|m| mistakes.extend(m)).ok();
    mistakes.extend(whole::out_of_range(scope, &layers, &arms));
    mistakes.extend(idle::without_effect(scope, &layers, &arms));
    match (dataset, protocol) {
        (Some(dataset), Some(protocol)) if mistakes.is_empty() => Ok(Experiment {
            name,
            catalog: catalog.clone(),
            dataset: dataset.clone(),
            protocol: protocol.clone(),
            layers,
            arms,
        }),
        _ => Err(mistakes),
    }
}
