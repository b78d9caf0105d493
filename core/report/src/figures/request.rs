//! What can be asked of a figure.

use std::str::FromStr;

use hashlab_data::Task;

use crate::error::ReportError;
use crate::wording::joined;

/// A kind of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// A metric over code lengths.
    MapBits,
    /// Precision over recall as the Hamming radius grows.
    PrecisionRecall,
    /// Precision of the first N items.
    PrecisionAt,
    /// Recall of the first N items.
    RecallAt,
    /// Precision within a Hamming radius.
    Radius,
    /// Training loss by epoch.
    Loss,
    /// The primary metric on the validation queries by epoch.
    Validation,
    /// The primary metric over two hyperparameters.
    HeatMap,
    /// The primary metric over all hyperparameters.
    Parallel,
    /// The share of ones by bit.
    Balance,
    /// Correlations between bits.
    Correlation,
    /// Correlations of all pairs of bits of a run.
    BitMatrix,
    /// Distances of relevant and other items.
    Distances,
}

impl FigureKind {
    /// Every kind with its name.
    pub const ALL: [(&'static str, Self); 13] = [
        ("map-bits", Self::MapBits),
        ("pr", Self::PrecisionRecall),
        ("pn", Self::PrecisionAt),
        ("rn", Self::RecallAt),
        ("radius", Self::Radius),
        ("loss", Self::Loss),
        ("validation", Self::Validation),
        ("heat-map", Self::HeatMap),
        ("parallel", Self::Parallel),
        ("balance", Self::Balance),
        ("correlation", Self::Correlation),
        ("bit-matrix", Self::BitMatrix),
        ("distances", Self::Distances),
    ];

    /// Its name in options.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for FigureKind {
    type Err = ReportError;

    fn from_str(name: &str) -> Result<Self, ReportError> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        let known = || joined(Self::ALL.map(|(known, _)| known));
        found.map(|(_, kind)| kind).ok_or_else(|| ReportError::UnknownFigure { given: name.to_owned(), known: known() })
    }
}

/// A figure and what it is to show. What is left out is chosen: the first task, the longest code, the first row with data.
#[derive(Clone, Debug)]
pub struct FigureRequest {
    /// The kind.
    pub kind: FigureKind,
    /// The metric of [`FigureKind::MapBits`]; the primary one if left out.
    pub metric: Option<String>,
    /// The code length.
    pub bits: Option<usize>,
    /// The retrieval task.
    pub task: Option<Task>,
    /// The row of a figure of one row, or the method of a figure of hyperparameters.
    pub row: Option<String>,
    /// The two hyperparameters of [`FigureKind::HeatMap`].
    pub keys: Option<(String, String)>,
}

impl FigureRequest {
    /// A figure of a kind, with everything else left out.
    pub fn new(kind: FigureKind) -> Self {
        Self { kind, metric: None, bits: None, task: None, row: None, keys: None }
    }

    /// The options that are given and that the figure does not depend on.
    pub fn unused(&self) -> Vec<&'static str> {
        use FigureKind::{Balance, BitMatrix, Correlation};
        use FigureKind::{Distances, HeatMap, Loss, MapBits, Parallel, Validation};
        let kind = self.kind;
        let options = [
            ("metric", self.metric.is_some(), kind == MapBits),
            ("bits", self.bits.is_some(), ![MapBits, Loss, HeatMap, Parallel].contains(&kind)),
            (
                "task",
                self.task.is_some(),
                ![Loss, Validation, HeatMap, Parallel, Balance, Correlation, BitMatrix].contains(&kind),
            ),
            ("row", self.row.is_some(), [Loss, Distances, BitMatrix, HeatMap, Parallel].contains(&kind)),
            ("x", self.keys.is_some(), kind == HeatMap),
        ];
        options.into_iter().filter(|(_, given, used)| *given && !used).map(|(name, ..)| name).collect()
    }
}
