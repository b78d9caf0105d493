//! The section `[eval]`.

use hashlab_eval::Definition;
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `[eval]`: measurement of retrieval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// Depth K of the primary metric mAP@K: a rank, `"all"` for the whole ranking, or `"protocol"` for the depth that
    /// papers use with the protocol.
    pub map_at: Depth,
    /// Definition of the primary metric mAP@K, which selects and is reported first; the others are recorded, too.
    /// `"top_k"` divides by the relevant items within the top K, over all queries (CIBHash, DeepHash-pytorch, UCMFH);
    /// `"hit_queries"` does so over queries with a hit (thuml's PyTorch code of HashNet); `"min_divisor"` divides by min(K,
    /// all relevant items), `"all_relevant"` by all relevant items; `"first_k"` takes the first K relevant items of the
    /// whole ranking (cross-modal toolkits).
    pub definition: Definition,
    /// Ranks at which precision and recall are recorded.
    pub ranks: Vec<usize>,
}

/// Depth of a ranking metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Depth {
    /// A named depth.
    Named(NamedDepth),
    /// A rank, counted from 1.
    Rank(#[schemars(range(min = 1))] usize),
}

/// Depths with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NamedDepth {
    /// The depth that papers use with the protocol.
    Protocol,
    /// The whole ranking.
    All,
}

impl Depth {
    /// The rank; `None` for the whole ranking.
    ///
    /// # Errors
    /// If the protocol's depth was not filled in by planning.
    pub fn rank(self) -> anyhow::Result<Option<usize>> {
        match self {
            Self::Named(NamedDepth::All) => Ok(None),
            Self::Rank(rank) => Ok(Some(rank)),
            Self::Named(NamedDepth::Protocol) => anyhow::bail!("`map_at` was not resolved when the run was planned"),
        }
    }
}

impl Default for EvalConfig {
    fn default() -> Self {
        let map_at = Depth::Named(NamedDepth::Protocol);
        Self { map_at, definition: Definition::default(), ranks: vec![1, 10, 100, 500, 1000] }
    }
}

impl Params for EvalConfig {
    fn check(&self) -> Violations {
        Violations::none()
            .require(
                self.map_at != Depth::Rank(0),
                ["map_at"],
                "`map_at` must be a rank from 1, \"all\" or \"protocol\"",
            )
            .require(self.ranks.iter().all(|&rank| rank >= 1), ["ranks"], "`ranks` must hold ranks from 1")
    }
}
