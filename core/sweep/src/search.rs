//! `search`: how the points of a method are chosen among the combinations of its axes.

use hashlab_rng::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::layers::{Assignment, Layers, Merged};
use crate::method_table::MethodTable;
use crate::pruning::Pruning;
use crate::section::Section;

/// The keys of a search, at the top of a file or in a method's table.
pub(crate) const SEARCH: &str = "search";
pub(crate) const TRIALS: &str = "trials";
pub(crate) const SEARCH_SEED: &str = "search_seed";
pub(crate) const GENERATION: &str = "generation";

/// All of them.
pub(crate) const KEYS: [&str; 4] = [SEARCH, TRIALS, SEARCH_SEED, GENERATION];

/// Trials that TPE proposes at once, unless a file says otherwise.
pub(crate) const DEFAULT_GENERATION: usize = 4;

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
    /// Points that a tree-structured Parzen estimator proposes from the validation mAP of earlier ones.
    Tpe,
}

/// The search of a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) kind: SearchKind,
    /// Number of points, unless all combinations are taken.
    pub(crate) trials: usize,
    pub(crate) seed: u64,
    /// Number of points that TPE proposes at once.
    pub(crate) generation: usize,
}

impl Search {
    /// Reads the search of a method from its merged settings.
    ///
    /// # Errors
    /// What keeps the method from being searched; nothing if that is a value which was reported before.
    pub(crate) fn of(merged: &Merged<'_>, table: &MethodTable) -> Result<Self, Vec<Diagnostic>> {
        if KEYS.iter().any(|key| merged.rejects(Section::General, key)) {
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
        if kind == SearchKind::Tpe && Pruning::of(merged.table(Section::Pruning)).is_some() {
            let span = merged.assignment(Section::General, SEARCH).map_or(&table.span, |set| &set.span);
            let message = "`search = \"tpe\"` learns from runs that have ended, and `[pruning]` stops them before";
            return Err(vec![Diagnostic::new(span, message).help("leave one of them out")]);
        }
        let generation = read(GENERATION).as_u64().and_then(|count| usize::try_from(count).ok());
        let seed = read(SEARCH_SEED).as_u64().unwrap_or_default();
        Ok(Self { kind, trials, seed, generation: generation.unwrap_or(DEFAULT_GENERATION) })
    }

    /// The number in `[0, 1)` that chooses the step of an axis at a trial: a function of seed, trial and axis alone, so
    /// that more trials leave the first ones as they are.
    pub(crate) fn fraction(self, trial: usize, axis: usize) -> f64 {
        match self.kind {
            SearchKind::Grid => unreachable!("a grid has no trials"),
            // The first trials of TPE are those of a random search.
            SearchKind::Random | SearchKind::Tpe => stream(self.seed, "search", &[trial as u64, axis as u64]).uniform(),
            SearchKind::Sobol => sobol(self.seed, trial, axis),
        }
    }
}

fn not_enumerable(low: &Assignment) -> Diagnostic {
    let message = format!("`{}` is a range, and a grid has every value of lists", low.path());
    let help = "list values, or set `search = \"random\"`, `\"sobol\"` or `\"tpe\"` and a number of `trials`";
    Diagnostic::new(&low.span, message).help(help)
}

/// Burley's Sobol sequence with Owen's scrambling, of which each seed is another one.
fn sobol(seed: u64, trial: usize, axis: usize) -> f64 {
    let axes = sobol_burley::NUM_DIMENSIONS as usize;
    // A sequence has 256 axes; further ones are those of the next seed.
    let seed = (seed ^ (seed >> 32)) as u32 ^ ((axis / axes) as u32).rotate_right(1);
    f64::from(sobol_burley::sample(trial as u32, (axis % axes) as u32, seed))
}

/// Reports the keys of a search that change nothing, as no method that reads them has such a search.
pub(crate) fn without_effect(layers: &Layers, methods: &[MethodTable]) -> Vec<Diagnostic> {
    let idle = |table: &MethodTable, key: &str| match table.grid.search.kind {
        SearchKind::Grid => true,
        SearchKind::Random | SearchKind::Sobol => key == GENERATION,
        SearchKind::Tpe => false,
    };
    let keys = || [TRIALS, SEARCH_SEED, GENERATION].into_iter();
    let own = methods.iter().flat_map(|table| {
        keys().filter(|key| idle(table, key)).filter_map(|key| table.fixed.find(Section::General, key))
    });
    let shared = keys().filter(|key| methods.iter().all(|table| idle(table, key)));
    let shared = shared.flat_map(|key| layers.downwards().filter_map(move |layer| layer.find(Section::General, key)));
    let report = |set: &Assignment| {
        let (only, searches) = match set.key.as_str() {
            GENERATION => ("only TPE proposes points in generations", "\"tpe\""),
            _ => ("all points of a grid are tried", "\"random\", \"sobol\" or \"tpe\""),
        };
        let message = format!("`{}` changes nothing: {only}", set.key);
        Diagnostic::new(&set.span, message).help(format!("leave it out, or set `search` to {searches}"))
    };
    // An experiment with all its defaults has these, too.
    let default = |set: &&Assignment| match set.key.as_str() {
        SEARCH_SEED => set.value == 0,
        GENERATION => set.value == DEFAULT_GENERATION,
        _ => false,
    };
    own.chain(shared).filter(|set| !default(set)).map(report).collect()
}
