//! What is registered: methods, data sets, encoders and published numbers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use hashlab_data::{ByModality, DataDirs, DataError, Dataset, DatasetEntry, DatasetInfo, EncoderFacts, Modality};
use hashlab_encoders::EncoderEntry;
use hashlab_method::MethodEntry;
use hashlab_pipeline::config::{EvalConfig, image_schema, text_schema};
use hashlab_settings::{Schema, Settings};
use hashlab_sweep::{Catalog, DatasetDecl, DatasetDescription, MethodDecl, ProtocolDecl, did_you_mean};
use hashlab_train::TrainConfig;

use crate::error::bad_input;

/// The methods, data sets and encoders that a program offers. A crate with some of its own passes longer slices.
#[derive(Clone, Copy)]
pub struct Registry {
    /// Methods, in the order of listings and tables.
    pub methods: &'static [MethodEntry],
    /// Data sets, in the order of listings.
    pub datasets: &'static [DatasetEntry],
    /// Encoders of images and of texts, in the order of listings. A name may be used once per modality.
    pub encoders: &'static [EncoderEntry],
    /// Published numbers for the paper rows of tables, as [`hashlab_report::parse_published`] reads them.
    pub published: &'static [&'static str],
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: Vec<_> = self.methods.iter().map(|method| method.info.name).collect();
        let datasets: Vec<_> = self.datasets.iter().map(|dataset| dataset.summary.name).collect();
        f.debug_struct("Registry").field("methods", &methods).field("datasets", &datasets).finish_non_exhaustive()
    }
}

impl Registry {
    /// Finds a method.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput), with the known names.
    pub fn method(&self, name: &str) -> Result<&'static MethodEntry> {
        let known = self.methods.iter().map(|method| method.info.name);
        let found = self.methods.iter().find(|method| method.info.name == name);
        found.ok_or_else(|| unknown("method", name, known))
    }

    /// Finds a data set.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput), with the known names.
    pub fn dataset(&self, name: &str) -> Result<&'static DatasetEntry> {
        let known = self.datasets.iter().map(|dataset| dataset.summary.name);
        let found = self.datasets.iter().find(|dataset| dataset.summary.name == name);
        found.ok_or_else(|| unknown("data set", name, known))
    }

    /// Finds the encoders of a name: one per modality at most.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput), with the known names.
    pub fn encoders_named(&self, name: &str) -> Result<Vec<&'static EncoderEntry>> {
        let known = self.encoders.iter().map(EncoderEntry::name).collect::<BTreeSet<_>>();
        let found: Vec<_> = self.encoders.iter().filter(|encoder| encoder.name() == name).collect();
        if found.is_empty() { Err(unknown("encoder", name, known.into_iter())) } else { Ok(found) }
    }

    /// Declares everything that an experiment file may name. Data sets are looked for in `data`, weights and codes nowhere.
    pub fn catalog(&self, data: &DataDirs) -> Catalog {
        let encoders = [(Modality::Image, image_schema(self.encoders)), (Modality::Text, text_schema(self.encoders))];
        Catalog {
            methods: self.methods.iter().map(declare_method).collect(),
            datasets: self.datasets.iter().map(|dataset| declare_dataset(*dataset, data.clone())).collect(),
            encoders: encoders.into_iter().collect::<ByModality<Schema>>(),
            inspect: Arc::new(|_, _| Ok(EncoderFacts::default())),
            codes: Arc::new(|path, _| Err(format!("there is no file {path}"))),
            train: Schema::of::<TrainConfig>(),
            eval: Schema::of::<EvalConfig>(),
        }
    }
}

/// Says that there is no `what` called `name`, and which there are.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> anyhow::Error {
    bad_input(format!("unknown {what} `{name}`\nhelp: {}", did_you_mean(name, known)))
}

fn declare_method(method: &'static MethodEntry) -> MethodDecl {
    MethodDecl {
        name: method.info.name.to_owned(),
        title: method.info.title.to_owned(),
        paper: method.info.paper.to_owned(),
        revision: method.info.revision,
        deep: method.deep,
        augmented: method.info.augmented,
        seeded: method.info.seeded,
        needs: method.info.needs,
        params: method.schema(),
        check: Arc::new(|params, run| method.check(params, run)),
    }
}

/// A data set that was opened for its description, until its training items are counted: lists of a million items take
/// seconds to open.
#[derive(Default)]
struct KeptOpen(Mutex<Option<(Settings, Box<dyn Dataset>)>>);

impl KeptOpen {
    /// Keeps a data set with the settings that it was opened with; returns its description. Warns of what was found: it is
    /// described once per experiment, while every run opens it.
    fn keep(&self, settings: &Settings, dataset: Box<dyn Dataset>) -> DatasetInfo {
        dataset.warnings().iter().for_each(|line| tracing::warn!("{line}"));
        let info = dataset.info().clone();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((settings.clone(), dataset));
        info
    }

    /// Takes the data set out, if it was opened with these settings.
    fn take(&self, settings: &Settings) -> Option<Box<dyn Dataset>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take_if(|(of, _)| of == settings).map(|(_, dataset)| dataset)
    }
}

fn declare_dataset(dataset: DatasetEntry, dirs: DataDirs) -> DatasetDecl {
    let (searched, opened) = (dirs.clone(), Arc::new(KeptOpen::default()));
    let kept = Arc::clone(&opened);
    let describe = move |settings: &Settings| {
        let info = match dataset.declared(settings)? {
            Some(info) => info,
            None => kept.keep(settings, dataset.open(settings, &dirs)?),
        };
        let protocols = info.protocols.into_iter().map(|protocol| ProtocolDecl {
            name: protocol.name,
            description: protocol.description,
            map_at: protocol.map_at,
        });
        Ok(DatasetDescription { identity: info.identity, modalities: info.modalities, protocols: protocols.collect() })
    };
    let count = move |settings: &Settings, protocol: &str, split_seed: u64| {
        let again = || dataset.open(settings, &searched);
        let split = opened.take(settings).map_or_else(again, Ok).and_then(|opened| opened.split(protocol, split_seed));
        match split {
            Ok(split) => Ok(Some(split.train.len())),
            Err(DataError::Missing { .. }) => Ok(None),
            Err(error) => Err(format!("data set `{}`: {error}", dataset.summary.name)),
        }
    };
    DatasetDecl {
        name: dataset.summary.name.to_owned(),
        title: dataset.summary.title.to_owned(),
        settings: dataset.schema(),
        describe: Arc::new(describe),
        train_items: Arc::new(count),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hashlab_data::{DatasetSource, DatasetSummary, ItemData, Labels, Protocol, Roles, Split};
    use hashlab_settings::Params;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    static OPENED: AtomicUsize = AtomicUsize::new(0);

    /// Twenty items of one class, whose openings are counted.
    struct Counted(DatasetInfo, Labels);

    #[derive(Default, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    struct CountedSettings {
        /// The number of queries.
        queries: u32,
    }

    impl Params for CountedSettings {}

    impl DatasetSource for Counted {
        const SUMMARY: DatasetSummary =
            DatasetSummary { name: "counted", title: "", description: "", source: "", license: "", citation: "" };
        type Settings = CountedSettings;

        fn open(settings: &CountedSettings, _: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
            OPENED.fetch_add(1, Ordering::Relaxed);
            let info = DatasetInfo {
                identity: settings.queries.to_string(),
                modalities: ByModality::default(),
                classes: vec!["one".into()],
                protocols: vec![Protocol::new("only", "the last items are queries", None)],
            };
            Ok(Box::new(Self(info, Labels::single(1, vec![0; 20]))))
        }
    }

    impl Dataset for Counted {
        fn info(&self) -> &DatasetInfo {
            &self.0
        }

        fn labels(&self) -> &Labels {
            &self.1
        }

        fn data(&self, _: Modality) -> Option<ItemData<'_>> {
            None
        }

        fn digest(&self) -> Result<&str, DataError> {
            Ok("")
        }

        fn split(&self, _: &str, split_seed: u64) -> Result<Split, DataError> {
            let queries: u32 = self.0.identity.parse().expect("a number");
            let (database, query): (Vec<u32>, Vec<u32>) = (0..20).partition(|&item| item < 20 - queries);
            Roles { train: database.clone(), validation_query: None, query, database }.into_split(20, split_seed)
        }

        fn found_at(&self) -> Vec<PathBuf> {
            Vec::new()
        }
    }

    #[test]
    fn a_data_set_is_opened_once_for_a_plan() {
        let declared = declare_dataset(DatasetEntry::of::<Counted>(), DataDirs::of(Vec::new()));
        let settings = |queries: u32| json!({ "queries": queries }).as_object().cloned().expect("a table");
        let opened = || OPENED.swap(0, Ordering::Relaxed);
        assert_eq!((declared.describe)(&settings(4)).expect("it is here").identity, "4");
        let items = (declared.train_items)(&settings(4), "only", 0).expect("it can be split");
        assert_eq!((opened(), items.is_some()), (1, true));
        // It is not kept any longer than that, nor taken for one with other settings.
        assert_eq!((declared.train_items)(&settings(4), "only", 0), Ok(items));
        assert_eq!(opened(), 1);
        (declared.describe)(&settings(4)).expect("it is here");
        assert_ne!((declared.train_items)(&settings(9), "only", 0), Ok(items));
        assert_eq!(opened(), 2);
    }
}
