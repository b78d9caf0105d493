//! Metrics: names, titles, definitions, and who uses them.

use std::fmt;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Depth K of mAP@K.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The whole ranking.
    All,
    /// The nearest K items.
    At(usize),
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::At(depth) => depth.fmt(f),
        }
    }
}

impl Serialize for Depth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::At(depth) => serializer.serialize_u64(*depth as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Depth {
    /// Reads a number or `"all"`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum NumberOrWord {
            Number(usize),
            Word(String),
        }
        match NumberOrWord::deserialize(deserializer)? {
            NumberOrWord::Number(depth) if depth > 0 => Ok(Self::At(depth)),
            NumberOrWord::Word(word) if word == "all" => Ok(Self::All),
            _ => Err(D::Error::custom("expected a rank, counted from 1, or \"all\"")),
        }
    }
}

/// Definitions of mAP@K. They differ in what a query's sum of precisions is divided by, in which ranks enter the sum, and
/// in which queries enter the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Definition {
    /// Divided by the relevant items within the top K; mean over all queries, one without a hit counts 0. CIBHash,
    /// DeepHash-pytorch, UCMFH.
    #[default]
    TopK,
    /// As `top_k`; mean over the queries with a hit alone. thuml's PyTorch code of HashNet.
    HitQueries,
    /// Divided by min(K, all relevant items): a missed relevant item costs.
    MinDivisor,
    /// Divided by all relevant items.
    AllRelevant,
    /// Over the first K relevant items of the whole ranking, divided by their number. Cross-modal toolkits.
    FirstK,
}

impl Definition {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::TopK, Self::HitQueries, Self::MinDivisor, Self::AllRelevant, Self::FirstK];

    /// Name in experiment files and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::TopK => "top_k",
            Self::HitQueries => "hit_queries",
            Self::MinDivisor => "min_divisor",
            Self::AllRelevant => "all_relevant",
            Self::FirstK => "first_k",
        }
    }

    /// Name of the metric in results.
    pub fn metric(self) -> &'static str {
        match self {
            Self::TopK => MAP_AT_K,
            Self::HitQueries => "map_at_k_hit_queries",
            Self::MinDivisor => "map_at_k_min_divisor",
            Self::AllRelevant => "map_at_k_all_relevant",
            Self::FirstK => "map_first_k",
        }
    }
}

/// mAP@K by [`Definition::TopK`].
pub(crate) const MAP_AT_K: &str = "map_at_k";

/// The radius of the precision within a ball, if no other is chosen.
pub(crate) const RADIUS: usize = 2;

/// The precision within a ball of [`RADIUS`].
const PRECISION_RADIUS: &str = "precision_radius2";

/// Number of queries without a hit.
pub(crate) const WITHOUT_HIT: &str = "queries_without_hit";

/// A metric that rankings are measured by. In its texts, `K` stands for the depth and `R` for the radius.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    /// Name in results and options, e.g. `map_at_k`.
    pub name: &'static str,
    /// Heading, e.g. `mAP@K`.
    pub title: &'static str,
    /// Measurement of a query.
    pub definition: &'static str,
    /// Divisor; empty for a count.
    pub divisor: &'static str,
    /// Queries that enter the mean; empty for a count.
    pub averaged: &'static str,
    /// Papers and code that use this definition.
    pub used_by: &'static [&'static str],
}

const BY_POSITION: &str = "average precision of the ranking by (Hamming distance, database position)";
const ALL_QUERIES: &str = "all queries, one without a hit counts 0";

/// Number of metrics.
pub(crate) const COUNT: usize = 14;

/// Every metric, in the order in which the values of a query are measured. In texts, `K` stands for the depth and `R` for the
/// radius.
const KNOWN: [MetricInfo; COUNT] = [
    MetricInfo {
        name: MAP_AT_K,
        title: "mAP@K",
        definition: BY_POSITION,
        divisor: "the relevant items among the top K",
        averaged: ALL_QUERIES,
        used_by: &["CIBHash", "DeepHash-pytorch", "UCMFH", "NSH"],
    },
    MetricInfo {
        name: "map_at_k_hit_queries",
        title: "mAP@K of queries with a hit",
        definition: BY_POSITION,
        divisor: "the relevant items among the top K",
        averaged: "the queries with a relevant item among the top K",
        used_by: &["HashNet's PyTorch code"],
    },
    MetricInfo {
        name: "map_at_k_min_divisor",
        title: "mAP@K over min(K, relevant)",
        definition: BY_POSITION,
        divisor: "min(K, the relevant items)",
        averaged: ALL_QUERIES,
        used_by: &[],
    },
    MetricInfo {
        name: "map_at_k_all_relevant",
        title: "mAP@K over all relevant",
        definition: "average precision of the top K of the ranking by (Hamming distance, database position)",
        divisor: "all relevant items of the database",
        averaged: ALL_QUERIES,
        used_by: &[],
    },
    MetricInfo {
        name: "map_first_k",
        title: "mAP of the first K relevant",
        definition: "precision at the first K relevant items of the whole ranking by (Hamming distance, database position)",
        divisor: "min(K, the relevant items)",
        averaged: ALL_QUERIES,
        used_by: &["WangGodder's cross-modal toolkit"],
    },
    MetricInfo {
        name: "map_at_k_expected",
        title: "mAP@K over min(K, relevant), expected over ties",
        definition: "average precision of the top K, expected over the orders of items at equal distance",
        divisor: "min(K, the relevant items)",
        averaged: ALL_QUERIES,
        used_by: &["TALR"],
    },
    MetricInfo {
        name: "map_all",
        title: "mAP@all",
        definition: BY_POSITION,
        divisor: "the relevant items",
        averaged: ALL_QUERIES,
        used_by: &["DCMH"],
    },
    MetricInfo {
        name: "map_all_expected",
        title: "mAP@all, expected over ties",
        definition: "average precision of the whole ranking, expected over the orders of items at equal distance",
        divisor: "the relevant items",
        averaged: ALL_QUERIES,
        used_by: &["TALR"],
    },
    MetricInfo {
        name: "ndcg_at_k",
        title: "NDCG@K",
        definition: "gain 1 per relevant item among the top K, discounted by log2(rank + 1)",
        divisor: "the best ranking's",
        averaged: ALL_QUERIES,
        used_by: &[],
    },
    MetricInfo {
        name: "ndcg_at_k_expected",
        title: "NDCG@K, expected over ties",
        definition: "gain 1 per relevant item among the top K, discounted by log2(rank + 1), expected over the orders of \
                     items at equal distance",
        divisor: "the best ranking's",
        averaged: ALL_QUERIES,
        used_by: &[],
    },
    MetricInfo {
        name: "ndcg_at_k_graded",
        title: "NDCG@K by grade",
        definition: "gain 2^grade − 1 per item among the top K, the grade being the number of shared labels, discounted \
                     by log2(rank + 1)",
        divisor: "the best ranking's",
        averaged: ALL_QUERIES,
        used_by: &["DSRH"],
    },
    MetricInfo {
        name: "acg_at_k",
        title: "ACG@K",
        definition: "sum of the grades, the numbers of shared labels, of the items among the top K",
        divisor: "the number of those items",
        averaged: ALL_QUERIES,
        used_by: &["DSRH", "Dreamupers/DeepHashing"],
    },
    MetricInfo {
        name: PRECISION_RADIUS,
        title: "Precision within Hamming radius R",
        definition: "relevant items within Hamming distance R",
        divisor: "all items there",
        averaged: "all queries, one with no item there counts 0",
        used_by: &["HashNet"],
    },
    MetricInfo {
        name: WITHOUT_HIT,
        title: "Queries without a hit",
        definition: "number of queries without a relevant item among the top K",
        divisor: "",
        averaged: "",
        used_by: &[],
    },
];

/// Every metric that rankings are measured by.
pub fn known_metrics() -> &'static [MetricInfo] {
    const { &KNOWN }
}

/// What the texts of metrics depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// The depth K.
    pub depth: Depth,
    /// The Hamming radius R.
    pub radius: usize,
    /// Whether items are ranked by an asymmetric distance.
    pub asymmetric: bool,
}

impl From<Depth> for Search {
    /// A search by Hamming distance, with the radius of tables.
    fn from(depth: Depth) -> Self {
        Self { depth, radius: RADIUS, asymmetric: false }
    }
}

impl MetricInfo {
    /// Whether it counts queries instead of averaging over them.
    pub fn is_count(&self) -> bool {
        self.averaged.is_empty()
    }

    /// Whether it counts the items within the Hamming radius.
    pub(crate) fn is_of_radius(&self) -> bool {
        self.name == PRECISION_RADIUS
    }

    /// Name in the results of a search with a radius.
    pub fn name_at(&self, radius: usize) -> String {
        if self.is_of_radius() { format!("precision_radius{radius}") } else { self.name.to_owned() }
    }

    /// Looks a metric up.
    pub fn named(name: &str) -> Option<&'static Self> {
        known_metrics().iter().find(|metric| metric.name == name)
    }

    /// The heading.
    pub fn title_at(&self, search: impl Into<Search>) -> String {
        filled(self.title, search.into())
    }

    /// The definition in one sentence.
    pub fn sentence(&self, search: impl Into<Search>) -> String {
        let mean = match self.divisor {
            "" => self.definition.to_owned(),
            divisor => format!("{}, divided by {divisor}; mean over {}", self.definition, self.averaged),
        };
        filled(&mean, search.into())
    }

    /// Whether the best value of a column is its greatest; of a count of misses it is not.
    pub fn more_is_better(&self) -> bool {
        !self.divisor.is_empty()
    }
}

/// Fills a text in.
fn filled(text: &str, Search { depth, radius, asymmetric }: Search) -> String {
    let text = at_depth(text, depth).replace(" R", &format!(" {radius}"));
    if asymmetric { text.replace("Hamming distance", "asymmetric distance") } else { text }
}

/// Replaces `K` by the depth.
fn at_depth(text: &str, depth: Depth) -> String {
    match depth {
        Depth::At(depth) => text.replace('K', &depth.to_string()),
        Depth::All => text
            .replace("@K", "@all")
            .replace(" among the top K", "")
            .replace("the top K of the ranking", "the ranking")
            .replace("of the top K", "of the whole ranking")
            .replace("the first K relevant", "all relevant")
            .replace("min(K, the relevant items)", "the relevant items")
            .replace("min(K, relevant)", "relevant"),
    }
}
