//! Feature vectors of one's own: arrays of features per modality, labels, and splits.
//!
//! Arrays are `.npy`, `.npz`, `.safetensors` or `.mat` files. A folder (`dir`) holds them under their usual names, those of
//! `hashlab features --out`: `features.npy` (images) or `image_features.npy` and `text_features.npy`, `labels.npy`, and,
//! for the split, `train.npy`, `query.npy`, `database.npy`, `validation_query.npy`, `validation_database.npy`. Single keys
//! name other files, with the array of an archive after `#`: `clip.npz#image`. With `view_000.npy`, `view_001.npy`, … a
//! folder holds augmented views of the training items, in the order of `train.npy`, from which deep methods draw.
//!
//! Features are `(items, dim)`, or `(items, views, dim)` with the view without augmentation first. Labels are class
//! numbers `(items)` or multi-hot `(items, classes)`. The data set's identity is the digest of all of that.

#[cfg(test)]
mod tests;
mod views;

use std::collections::BTreeSet;
use std::path::PathBuf;

use hashlab_data::{
    ByModality, DataDirs, DataError, DataKind, Dataset, DatasetInfo, DatasetSource, DatasetSummary, ItemData, Labels,
    Modality, Protocol, Roles, Split, draw, special,
};
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use views::Stored;

use crate::array::{self, file_of};
use crate::own::places::{damaged, find, opened};

/// Name of the data set.
const NAME: &str = "features";

/// The only protocol: index files, or counts drawn by `split_seed`.
const PROTOCOL: &str = "split";

/// Settings of `features`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder with the arrays under their usual names.
    pub dir: Option<String>,
    /// Features of images, `(items, dim)` or `(items, views, dim)`.
    pub image: Option<String>,
    /// Features of texts, `(items, dim)` or `(items, views, dim)`.
    pub text: Option<String>,
    /// Class numbers `(items)` or multi-hot labels `(items, classes)`.
    pub labels: Option<String>,
    /// Indices of the training items.
    pub train: Option<String>,
    /// Indices of the queries.
    pub query: Option<String>,
    /// Indices of the database items, without those of `validation_query`, which are left out where it holds them. Not set:
    /// all items but the queries.
    pub database: Option<String>,
    /// Indices of the validation queries. Not set: a tenth of the training items, at most 1,000, is held out.
    pub validation_query: Option<String>,
    /// Indices of the items that validation queries are searched against, some of `database`, which then may hold the
    /// validation queries. Not set: all of `database`.
    pub validation_database: Option<String>,
    /// Number of queries, drawn by `split_seed`, in place of index files; those that lie in `dir` are not read then.
    #[schemars(range(min = 1))]
    pub queries: Option<usize>,
    /// Number of training items drawn from the others. Not set: all of them.
    #[schemars(range(min = 2))]
    pub train_items: Option<usize>,
}

impl Params for Settings {
    fn check(&self) -> Violations {
        let named: Vec<String> =
            self.index_keys().iter().filter(|(_, file)| file.is_some()).map(|(key, _)| format!("`{key}`")).collect();
        let arrays = self.image.is_some() && self.text.is_some() && self.labels.is_some();
        Violations::none()
            .require(
                self.queries.is_none() || named.is_empty(),
                ["queries"],
                format!("`queries` draws a split, {} would give one: leave one of them out", named.join(", ")),
            )
            .require(
                self.train_items.is_none() || self.queries.is_some(),
                ["train_items", "queries"],
                "`train_items` belongs to a split that `queries` draws",
            )
            .require(
                self.validation_database.is_none() || self.validation_query.is_some() || self.dir.is_some(),
                ["validation_database"],
                "`validation_database` needs `validation_query` beside it",
            )
            .require(
                self.dir.is_none() || !(arrays && self.queries.is_some()),
                ["dir"],
                "`dir` gives nothing where `image`, `text` and `labels` name files and `queries` draws the split",
            )
    }
}

impl Settings {
    /// The keys that name index files, by role.
    fn index_keys(&self) -> [(&'static str, Option<&String>); 5] {
        [
            ("query", self.query.as_ref()),
            ("train", self.train.as_ref()),
            ("database", self.database.as_ref()),
            ("validation_query", self.validation_query.as_ref()),
            ("validation_database", self.validation_database.as_ref()),
        ]
    }
}

/// Opened feature files.
pub struct Features {
    info: DatasetInfo,
    features: ByModality<Stored>,
    labels: Labels,
    indices: Option<Indices>,
    settings: Settings,
    found_at: Vec<PathBuf>,
}

/// A split as files give it.
struct Indices {
    train: Option<Vec<u32>>,
    query: Vec<u32>,
    database: Option<Vec<u32>>,
    validation_query: Option<Vec<u32>>,
    validation_database: Option<Vec<u32>>,
}

impl DatasetSource for Features {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "Features",
        description: "feature vectors of your own: .npy, .npz, .safetensors, .mat or HDF5 per modality, with labels and splits",
        source: "your files; `hashlab features --out DIR` writes such a folder",
        license: "yours",
        citation: "the source of the features",
    };
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(Self::load(settings, dirs)?))
    }
}

impl Features {
    fn load(settings: &Settings, dirs: &DataDirs) -> Result<Self, DataError> {
        if let Some(dir) = &settings.dir {
            let found = find(NAME, "dir", dir, dirs)?;
            if !found.is_dir() {
                let what = special(&found).unwrap_or("a file");
                return Err(damaged(&found, format!("this is {what}"), "`dir` in [data] names a folder"));
            }
        }
        let mut files = Files { settings, dirs, found_at: Vec::new() };
        let mut features = ByModality::default();
        for (modality, key, usual) in [
            (Modality::Image, &settings.image, &["image_features.npy", "features.npy"][..]),
            (Modality::Text, &settings.text, &["text_features.npy"][..]),
        ] {
            if let Some(path) = files.find(key.as_deref(), usual)? {
                features.insert(modality, Stored::new(array::read(&path)?.features(&path)?));
            }
        }
        if features.is_empty() {
            return Err(files.missing("features of any modality", &["features.npy", "text_features.npy"]));
        }
        let labels_path = files.need(settings.labels.as_deref(), "labels.npy", "labels")?;
        let labels = array::read(&labels_path)?.labels(&labels_path)?;
        for (modality, array) in features.iter() {
            same_items(modality, array.plain.rows(), labels.len())?;
        }
        let indices = files.indices()?;
        if let Some(train) = indices.as_ref().and_then(|indices| indices.train.as_ref()) {
            files.read_views(&mut features, train)?;
        }
        let info = DatasetInfo {
            identity: digest(&features, &labels, indices.as_ref()),
            modalities: features.map(|_, _| DataKind::Features),
            classes: Vec::new(),
            protocols: vec![Protocol::new(
                PROTOCOL,
                "the split of the index files, or counts drawn by split_seed",
                None,
            )],
        };
        Ok(Self { info, features, labels, indices, settings: settings.clone(), found_at: files.found_at })
    }
}

fn same_items(modality: Modality, found: usize, labeled: usize) -> Result<(), DataError> {
    if found == labeled {
        return Ok(());
    }
    Err(DataError::Invalid(format!("the {modality} features have {found} items, the labels {labeled}")))
}

/// Digests features, labels and splits.
fn digest(features: &ByModality<Stored>, labels: &Labels, indices: Option<&Indices>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (modality, array) in features.iter() {
        hasher.update(modality.name().as_bytes());
        array.hash(&mut hasher);
    }
    for item in 0..labels.len() {
        for word in labels.item(item) {
            hasher.update(&word.to_le_bytes());
        }
    }
    let roles = indices.map(|indices| {
        [indices.train.as_ref(), Some(&indices.query), indices.database.as_ref(), indices.validation_query.as_ref()]
    });
    let mut add = |role: Option<&Vec<u32>>| {
        hasher.update(&role.map_or(0, |items| items.len() as u64 + 1).to_le_bytes());
        for item in role.into_iter().flatten() {
            hasher.update(&item.to_le_bytes());
        }
    };
    roles.into_iter().flatten().for_each(&mut add);
    if let Some(searched) = indices.and_then(|indices| indices.validation_database.as_ref()) {
        add(Some(searched));
    }
    hasher.finalize().to_hex().to_string()
}

/// The files that settings name.
struct Files<'a> {
    settings: &'a Settings,
    dirs: &'a DataDirs,
    found_at: Vec<PathBuf>,
}

impl Files<'_> {
    /// Finds the file of a key, or one under its usual names in the folder; `None` if neither is there.
    fn find(&mut self, named: Option<&str>, usual: &[&str]) -> Result<Option<String>, DataError> {
        if let Some(named) = named {
            let candidates = self.candidates(named);
            let found = candidates.iter().find(|path| file_of(path).is_file());
            let Some(found) = found.cloned() else {
                // A folder or a pipe in the place of the file says so.
                candidates.iter().try_for_each(|path| match special(file_of(path)) {
                    Some(_) => opened(file_of(path)).map(drop),
                    None => Ok(()),
                })?;
                return Err(self.missing(named, &[named]));
            };
            self.found_at.push(file_of(&found).to_owned());
            return Ok(Some(found));
        }
        let Some(dir) = &self.settings.dir else { return Ok(None) };
        for name in usual {
            let found = self.candidates(&format!("{dir}/{name}")).into_iter().find(|path| file_of(path).is_file());
            if let Some(path) = found {
                self.found_at.push(file_of(&path).to_owned());
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn need(&mut self, named: Option<&str>, usual: &str, what: &str) -> Result<String, DataError> {
        self.find(named, &[usual])?.ok_or_else(|| self.missing(what, &[usual]))
    }

    /// The places of a name: as a path, then in every data directory.
    fn candidates(&self, name: &str) -> Vec<String> {
        let in_dir = |dir: &PathBuf| dir.join(name).to_string_lossy().into_owned();
        std::iter::once(name.to_owned()).chain(self.dirs.search.iter().map(in_dir)).collect()
    }

    fn missing(&self, what: &str, names: &[&str]) -> DataError {
        let dir = self.settings.dir.as_deref().map_or(String::new(), |dir| format!("{dir}/"));
        let looked = names.iter().flat_map(|name| {
            let name = if self.settings.dir.is_some() { format!("{dir}{name}") } else { (*name).to_owned() };
            self.candidates(&name)
        });
        DataError::Missing {
            what: format!("`{what}` of data set `features`"),
            looked: looked.map(|path| file_of(&path).to_owned()).collect(),
            help: "name the file in [data], or set `dir` there to the folder that holds it".to_owned(),
        }
    }

    /// Reads the index files; `None` if the split is to be drawn.
    fn indices(&mut self) -> Result<Option<Indices>, DataError> {
        if self.settings.queries.is_some() {
            return Ok(None);
        }
        let settings = self.settings;
        let mut read = |named: Option<&str>, usual: &str| -> Result<Option<Vec<u32>>, DataError> {
            let path = self.find(named, &[usual])?;
            path.map(|path| array::read(&path)?.indices(&path)).transpose()
        };
        let train = read(settings.train.as_deref(), "train.npy")?;
        let query = read(settings.query.as_deref(), "query.npy")?;
        let database = read(settings.database.as_deref(), "database.npy")?;
        let validation_query = read(settings.validation_query.as_deref(), "validation_query.npy")?;
        let validation_database = read(settings.validation_database.as_deref(), "validation_database.npy")?;
        match query {
            Some(query) => Ok(Some(Indices { train, query, database, validation_query, validation_database })),
            None => Err(DataError::Invalid(
                "the split is missing: there is neither `queries` nor an index file `query`\n\
                 help: `queries = 1000` in [data] draws that many by split_seed"
                    .to_owned(),
            )),
        }
    }
}

impl Dataset for Features {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        self.features.get(modality).map(|array| ItemData::Features(array))
    }

    fn digest(&self) -> Result<&str, DataError> {
        Ok(&self.info.identity)
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        self.info.protocol(protocol)?;
        match &self.indices {
            Some(indices) => {
                let split = match &indices.validation_database {
                    Some(searched) => self.indexed(indices).into_split_with(searched, self.len(), split_seed),
                    None => self.indexed(indices).into_split(self.len(), split_seed),
                };
                split.map_err(|error| match error {
                    DataError::Invalid(message) => {
                        DataError::Invalid(format!("{message}\nhelp: correct {}", self.index_files(&message)))
                    }
                    error => error,
                })
            }
            None => self.drawn(split_seed)?.into_split(self.len(), split_seed),
        }
    }

    fn found_at(&self) -> Vec<PathBuf> {
        self.found_at.clone()
    }
}

impl Features {
    /// The roles that index files give: what they leave open is all items but the queries.
    fn indexed(&self, indices: &Indices) -> Roles {
        // Validation queries of their own are no part of the database; those with a database of their own may be.
        let own = indices.validation_query.iter().filter(|_| indices.validation_database.is_none());
        let validation: BTreeSet<u32> = own.flatten().copied().collect();
        let queries: BTreeSet<u32> = indices.query.iter().copied().collect();
        let others = || (0..self.len() as u32).filter(|item| !queries.contains(item)).collect();
        let mut database: Vec<u32> = indices.database.clone().unwrap_or_else(others);
        database.retain(|item| !validation.contains(item));
        Roles {
            train: indices.train.clone().unwrap_or_else(|| {
                let held = |item: &u32| indices.validation_query.iter().flatten().any(|held| held == item);
                database.iter().copied().filter(|item| !held(item)).collect()
            }),
            validation_query: indices.validation_query.clone(),
            query: indices.query.clone(),
            database,
        }
    }

    /// The index files of the roles that a message names.
    fn index_files(&self, message: &str) -> String {
        let named = self.settings.index_keys().into_iter();
        let named = named.filter(|(role, _)| message.contains(&format!("`{role}`")));
        let named = named.map(|(role, file)| file.cloned().unwrap_or_else(|| format!("{role}.npy")));
        named.collect::<Vec<_>>().join(" or ")
    }

    fn drawn(&self, split_seed: u64) -> Result<Roles, DataError> {
        let queries = self.settings.queries.unwrap_or_default();
        let ([query, train], rest) =
            draw::overall(self.len(), split_seed, [queries, self.settings.train_items.unwrap_or(0)])?;
        let mut database = [train.clone(), rest].concat();
        database.sort_unstable();
        let train = if train.is_empty() { database.clone() } else { train };
        Ok(Roles { train, validation_query: None, query, database })
    }
}
