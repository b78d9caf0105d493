//! Settings that all readers of a user's own files have.

use hashlab_data::DataError;
use hashlab_image::Exif;
use hashlab_settings::Violations;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::places::unset;

/// What becomes of items whose image or caption cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unreadable {
    /// The first ends the work.
    #[default]
    Fail,
    /// They are left out, and counted.
    Skip,
}

/// What becomes of items without a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unlabelled {
    /// They are trained on and searched in, and are never queries.
    #[default]
    Keep,
    /// They are left out, and counted.
    Skip,
    /// The first ends the work.
    Fail,
}

/// What becomes of the EXIF orientation of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    /// It is ignored, as Pillow and torchvision do.
    #[default]
    Ignore,
    /// Images are turned upright.
    Apply,
}

impl From<Orientation> for Exif {
    fn from(orientation: Orientation) -> Self {
        match orientation {
            Orientation::Ignore => Self::Ignore,
            Orientation::Apply => Self::Apply,
        }
    }
}

/// Items and splits of a user's own files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OwnSettings {
    /// Where the test queries are, in the form of `files`.
    pub query: Option<String>,
    /// Where the training items are, in the form of `files`. Not set: the database.
    pub train: Option<String>,
    /// Where the database is, in the form of `files`. Not set: the training items, or all items but the queries.
    pub database: Option<String>,
    /// Where the validation queries are, in the form of `files`. Not set: a tenth of the training items, at most 1,000, is
    /// held out.
    pub validation_query: Option<String>,
    /// Queries to draw by `split_seed`, in place of `query`: a count, or a fraction below 1.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub queries: Option<f64>,
    /// Training items to draw from the others, a count or a fraction below 1. Not set: all of them.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub train_items: Option<f64>,
    /// Whether `queries` and `train_items` are counts of every class.
    pub per_class: bool,
    /// Whether the drawn training items are in the database, too.
    pub train_in_database: bool,
    /// Items without a label: `keep` (trained on and searched in, never a query), `skip` (left out) or `fail`.
    pub unlabelled: Unlabelled,
    /// Items whose image cannot be read or whose caption is missing: `fail`, or `skip` (left out and counted; every image
    /// is decoded once to find them).
    pub unreadable: Unreadable,
    /// The EXIF orientation of images: `ignore`, as torchvision does, or `apply`.
    pub exif: Orientation,
}

impl Default for OwnSettings {
    fn default() -> Self {
        Self {
            query: None,
            train: None,
            database: None,
            validation_query: None,
            queries: None,
            train_items: None,
            per_class: false,
            train_in_database: true,
            unlabelled: Unlabelled::default(),
            unreadable: Unreadable::default(),
            exif: Orientation::default(),
        }
    }
}

impl OwnSettings {
    /// Whether files say which items are queries.
    pub(crate) fn given(&self) -> bool {
        self.query.is_some()
    }

    /// The named places of items, by role.
    pub(crate) fn roles(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("query", self.query.as_deref()),
            ("train", self.train.as_deref()),
            ("database", self.database.as_deref()),
            ("validation_query", self.validation_query.as_deref()),
        ]
    }

    /// The files with the items of data set `set`, each with the key that names it: `files`, or the roles of a given split.
    ///
    /// # Errors
    /// If no file is named, of which `example` is one, or a split is neither given nor drawn.
    pub(crate) fn named_files<'a>(
        &'a self,
        files: Option<&'a str>,
        set: &str,
        example: &str,
    ) -> Result<Vec<(&'static str, &'a str)>, DataError> {
        let named: Vec<(&str, &str)> = match files {
            Some(files) => vec![("files", files)],
            None => self.roles().into_iter().filter_map(|(role, place)| Some((role, place?))).collect(),
        };
        if named.is_empty() {
            return Err(unset(set, "files", example));
        }
        self.require_split()?;
        Ok(named)
    }

    /// Rules between the keys; `files` is where all items are.
    pub(crate) fn check(&self, files: Option<&str>) -> Violations {
        let others = [&self.train, &self.database, &self.validation_query].into_iter().any(Option::is_some);
        let whole = |amount: Option<f64>| amount.is_none_or(|amount| amount < 1.0 || amount.fract() == 0.0);
        let count = |amount: Option<f64>| amount.is_none_or(|amount| amount >= 1.0);
        Violations::none()
            .require(
                self.queries.is_none() || !self.given() && !others,
                ["queries", "query"],
                "`queries` draws a split, `query`, `train` and `database` give one: leave one of them out",
            )
            .require(
                self.given() || !others,
                ["train", "database", "validation_query"],
                "`train`, `database` and `validation_query` belong to a split that `query` gives",
            )
            .require(
                !self.given() || files.is_none(),
                ["files", "query"],
                "`files` lists items of which queries are drawn; leave it out where `query` names a file",
            )
            .require(
                self.train_items.is_none() || self.queries.is_some(),
                ["train_items", "queries"],
                "`train_items` belongs to a split that `queries` draws",
            )
            .require(
                !self.per_class || self.queries.is_some(),
                ["per_class", "queries"],
                "`per_class` belongs to a split that `queries` draws",
            )
            .require(
                self.train_in_database || self.train_items.is_some(),
                ["train_in_database", "train_items"],
                "`train_in_database` belongs to a split with `train_items`; without it, the database is trained on",
            )
            .require(
                whole(self.queries) && whole(self.train_items),
                ["queries", "train_items"],
                "`queries` and `train_items` are whole numbers, or fractions below 1",
            )
            .require(
                !self.per_class || count(self.queries) && count(self.train_items),
                ["per_class", "queries"],
                "`per_class` needs counts, not fractions",
            )
    }

    /// Fails unless a split is given or drawn.
    pub(crate) fn require_split(&self) -> Result<(), DataError> {
        if self.given() || self.queries.is_some() {
            return Ok(());
        }
        Err(DataError::Invalid(
            "the split is missing: neither `queries` nor `query` is set\n\
             help: `queries = 1000` in [data] draws that many by split_seed, `query` names where they are"
                .to_owned(),
        ))
    }
}
