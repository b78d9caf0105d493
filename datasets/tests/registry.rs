//! What every registered data set must keep to.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hashlab_data::{DataDirs, DataError, Dataset, Split};
use hashlab_datasets::DATASETS;
use serde_json::Map;

#[test]
fn every_file_is_registered() {
    let files =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().map(|file| file.unwrap().path());
    let stems: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|stem| stem != "lib")
        .collect();
    let registered: BTreeSet<String> = DATASETS.iter().map(|entry| entry.summary.name.to_owned()).collect();
    assert_eq!(stems, registered);
    assert_eq!(registered.len(), DATASETS.len(), "names are unique");
}

#[test]
fn declarations_are_complete() {
    for entry in DATASETS {
        let summary = &entry.summary;
        for text in [summary.title, summary.description, summary.source, summary.license, summary.citation] {
            assert!(!text.is_empty(), "{}", summary.name);
        }
        let schema = entry.schema();
        assert!(schema.check(&schema.defaults).is_empty(), "{}", summary.name);
        for key in schema.defaults.keys() {
            assert!(!schema.docs[key].is_empty(), "{}: `{key}`", summary.name);
        }
        let unknown = Map::from_iter([("no_such_key".to_owned(), 1.into())]);
        let told = schema.check(&unknown).to_string();
        assert!(told.contains("no_such_key"), "{}: {told}", summary.name);
    }
}

/// Every data set that can be opened here: the generated ones always, others where `HASHLAB_DATA` has them.
#[test]
fn splits_are_sound_and_follow_their_seed() {
    let mut seen = 0;
    for entry in DATASETS {
        let dataset = match entry.open(&Map::new(), &DataDirs::discover(None)) {
            Err(error @ DataError::Missing { .. }) => {
                eprintln!("skipped: {error}");
                continue;
            }
            opened => opened.unwrap_or_else(|error| panic!("{error}")),
        };
        let info = dataset.info();
        assert!(!info.identity.is_empty() && !info.modalities.is_empty(), "{}", entry.summary.name);
        for (modality, kind) in info.modalities.iter() {
            assert_eq!(dataset.data(modality).map(|data| data.kind()), Some(*kind), "{}", entry.summary.name);
        }
        let names: BTreeSet<_> = info.protocols.iter().map(|protocol| &protocol.name).collect();
        assert!(!names.is_empty() && names.len() == info.protocols.len(), "{}", entry.summary.name);
        for protocol in &info.protocols {
            assert!(!protocol.description.is_empty(), "{}", protocol.name);
            let split = |seed| dataset.split(&protocol.name, seed).unwrap();
            assert_sound(&split(0), &*dataset);
            assert_eq!(split(1), split(1), "{}", protocol.name);
            assert_ne!(split(0).database, split(1).database, "{}", protocol.name);
            seen += 1;
        }
        assert!(dataset.split("no-such-protocol", 0).is_err());
    }
    assert!(seen > 0);
}

fn set(items: &[u32]) -> BTreeSet<u32> {
    let set: BTreeSet<u32> = items.iter().copied().collect();
    assert_eq!(set.len(), items.len(), "an item repeats");
    set
}

fn assert_sound(split: &Split, dataset: &dyn Dataset) {
    let roles = [&split.train, &split.validation_query, &split.validation_database, &split.query, &split.database];
    let [train, validation_query, validation_database, query, database] = roles.map(|role| set(role));
    assert!(roles.iter().all(|role| !role.is_empty() && role.iter().all(|&item| (item as usize) < dataset.len())));
    assert!(query.is_disjoint(&train) && query.is_disjoint(&database) && query.is_disjoint(&validation_query));
    assert!(validation_query.is_disjoint(&train) && validation_query.is_disjoint(&validation_database));
    // The validation queries are searched in the same database, or in one of their own.
    let others: BTreeSet<u32> = database.difference(&validation_query).copied().collect();
    assert!(validation_database == others || validation_database.is_disjoint(&database));
    assert!(no_class_order(&split.database, dataset), "the database is in class order");
}

/// Whether neighbors in `items` share their labels hardly more often than items far apart.
fn no_class_order(items: &[u32], dataset: &dyn Dataset) -> bool {
    let same = |step: usize| {
        let pairs = (0..items.len()).map(|at| (items[at], items[(at + step) % items.len()]));
        pairs.filter(|(a, b)| dataset.labels().item(*a as usize) == dataset.labels().item(*b as usize)).count()
    };
    let slack = items.len() / 50;
    same(1) <= same(items.len() / 3) + slack
}
