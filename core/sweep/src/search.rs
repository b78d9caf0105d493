//! `search`: how the points of a method are chosen among the combinations of its axes.

use hashlab_rng::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::layers::{Assignment, Layers, Merged};
use crate::method_table::MethodTable;
use crate::section::Section;

/// The keys of a search, at the top of a file or in a method's table.
pub(crate) const SEARCH: &str = "search";
pub(crate) const TRIALS: &str = "trials";
pub(crate) const SEARCH_SEED: &str = "search_seed";

/// The choice of a method's points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SearchKind {
    /// Every combination of the lists.
    #[default]
    Grid,
    /// Points of a pseudo-random sequence.
    Random,
    /// Points of a Sobol sequence, which cover the ranges more evenly.
    Sobol,
}

/// The search of a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) kind: SearchKind,
    /// Number of points, unless all combinations are taken.
    pub(crate) trials: usize,
    pub(crate) seed: u64,
}

impl Search {
    /// Reads the search of a method from its merged settings.
    ///
    /// # Errors
    /// What keeps the method from being searched; nothing if that is a value which was reported before.
    pub(crate) fn of(merged: &Merged<'_>, table: &MethodTable) -> Result<Self, Vec<Diagnostic>> {
        if [SEARCH, TRIALS, SEARCH_SEED].iter().any(|key| merged.rejects(Section::General, key)) {
            return Err(Vec::new());
        }
        let general = merged.table(Section::General);
        let read = |key: &str| general.get(key).cloned().unwrap_or_default();
        let kind: SearchKind = serde_json::from_value(read(SEARCH)).expect("its type was checked");
        let trials = read(TRIALS).as_u64().and_then(|trials| usize::try_from(trials).ok());
        if kind == SearchKind::Grid {
            let ranges: Vec<Diagnostic> = table.grid.ranges().map(not_enumerable).collect();
            return if ranges.is_empty() { Ok(Self::default()) } else { Err(ranges) };
        }
        let Some(trials) = trials else {
            let span = merged.assignment(Section::General, SEARCH).map_or(&table.span, |set| &set.span);
            let message = format!("`search = {}` needs a number of `trials`", read(SEARCH));
            return Err(vec![Diagnostic::new(span, message).help("`trials = 20`: the number of points to try")]);
        };
        Ok(Self { kind, trials, seed: read(SEARCH_SEED).as_u64().unwrap_or_default() })
    }

    /// The number in `[0, 1)` that chooses the step of an axis at a trial: a function of seed, trial and axis alone, so
    /// that more trials leave the first ones as they are.
    pub(crate) fn fraction(self, trial: usize, axis: usize) -> f64 {
        match self.kind {
            SearchKind::Grid => unreachable!("a grid has no trials"),
            SearchKind::Random => stream(self.seed, "search", &[trial as u64, axis as u64]).uniform(),
            SearchKind::Sobol => sobol(self.seed, trial, axis),
        }
    }
}

fn not_enumerable(low: &Assignment) -> Diagnostic {
    let message = format!("`{}` is a range, and a grid has every value of lists", low.path());
    let help = "list values, or set `search = \"random\"` or `\"sobol\"` and a number of `trials`";
    Diagnostic::new(&low.span, message).help(help)
}

/// Burley's Sobol sequence with Owen's scrambling, of which each seed is another one.
fn sobol(seed: u64, trial: usize, axis: usize) -> f64 {
    let axes = sobol_burley::NUM_DIMENSIONS as usize;
    // A sequence has 256 axes; further ones are those of the next seed.
    let seed = (seed ^ (seed >> 32)) as u32 ^ ((axis / axes) as u32).rotate_right(1);
    f64::from(sobol_burley::sample(trial as u32, (axis % axes) as u32, seed))
}

/// Reports the keys of a search that change nothing, as every method that reads them tries all combinations.
pub(crate) fn without_effect(layers: &Layers, methods: &[MethodTable]) -> Vec<Diagnostic> {
    let keys = [TRIALS, SEARCH_SEED];
    let of_method = methods.iter().filter(|table| table.grid.search.kind == SearchKind::Grid);
    let own = of_method.flat_map(|table| keys.iter().filter_map(|key| table.fixed.find(Section::General, key)));
    let all_grids = methods.iter().all(|table| table.grid.search.kind == SearchKind::Grid);
    let shared = layers.downwards().filter(|_| all_grids);
    let shared = shared.flat_map(|layer| keys.iter().filter_map(|key| layer.find(Section::General, key)));
    let report = |set: &Assignment| {
        let message = format!("`{}` changes nothing: all points of a grid are tried", set.key);
        Diagnostic::new(&set.span, message).help("leave it out, or set `search` to \"random\" or \"sobol\"")
    };
    // An experiment with all its defaults has a seed, too.
    own.chain(shared).filter(|set| set.key != SEARCH_SEED || set.value != 0).map(report).collect()
}
