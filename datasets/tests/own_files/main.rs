//! Readers of a user's own files, on small data sets that `fixtures/generate.py` wrote with Pillow and pyarrow.

mod imperfect;
mod mat;
mod refused;

use std::fs;
use std::path::{Path, PathBuf};

use hashlab_data::{DataDirs, DataError, Dataset, ItemData, Modality, Rgb};
use hashlab_datasets::DATASETS;
use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn opened(name: &str, settings: Value, root: &Path) -> Result<Box<dyn Dataset>, DataError> {
    let entry = DATASETS.iter().find(|entry| entry.summary.name == name).unwrap();
    entry.open(settings.as_object().unwrap(), &DataDirs::of(vec![root.to_owned()]))
}

fn open(name: &str, settings: Value) -> Box<dyn Dataset> {
    opened(name, settings, &fixtures()).unwrap_or_else(|error| panic!("{error}"))
}

/// What a refused data set says, the folder of the fixtures left out.
fn refused(name: &str, settings: Value) -> String {
    refused_in(name, settings, &fixtures())
}

fn refused_in(name: &str, settings: Value, root: &Path) -> String {
    let error = opened(name, settings.clone(), root).err();
    let error = error.unwrap_or_else(|| panic!("{settings} is accepted")).to_string();
    error.replace(&format!("{}/", root.display()), "")
}

fn image(dataset: &dyn Dataset, index: usize) -> Rgb {
    let Some(ItemData::Images(images)) = dataset.data(Modality::Image) else { panic!("there are images") };
    images.image(index).unwrap()
}

fn captions(dataset: &dyn Dataset, index: usize) -> Vec<String> {
    let Some(ItemData::Texts(texts)) = dataset.data(Modality::Text) else { panic!("there are texts") };
    (0..texts.captions()).map(|caption| texts.text(index, caption).unwrap()).collect()
}

fn classes(dataset: &dyn Dataset) -> Vec<Vec<usize>> {
    (0..dataset.len()).map(|item| dataset.labels().classes_of(item)).collect()
}

/// The same 40 items in all four forms.
fn forms() -> [(&'static str, Value); 5] {
    [
        ("image_folder", json!({"dir": "photos", "queries": 8})),
        ("image_list", json!({"query": "query.txt", "database": "database.txt", "root": "photos"})),
        (
            "table",
            json!({"files": "photos.csv", "root": "photos", "image": "file", "captions": ["title", "second title"],
            "labels": ["kind"], "queries": 8}),
        ),
        (
            "table",
            json!({"files": "photos.jsonl", "root": "photos", "image": "file", "captions": ["captions"],
            "labels": ["kind"], "queries": 8}),
        ),
        (
            "parquet",
            json!({"files": "hub-*.parquet", "image": "image", "captions": ["captions"], "labels": ["label"],
            "queries": 8}),
        ),
    ]
}

#[test]
fn all_forms_hold_the_same_items() {
    let folder = open("image_folder", json!({"dir": "photos", "queries": 8}));
    assert_eq!(folder.info().classes, ["cat", "dog", "owl", "yak"]);
    assert_eq!((folder.len(), folder.findings()[0].as_str()), (40, "40 items in 4 classes"));
    for (name, settings) in forms() {
        let dataset = open(name, settings);
        assert_eq!(dataset.len(), 40, "{name}");
        if name == "image_list" {
            continue; // in the order of its lists
        }
        assert_eq!(dataset.info().classes, folder.info().classes, "{name}");
        assert_eq!(classes(&*dataset), classes(&*folder), "{name}");
        for item in 0..40 {
            assert_eq!(image(&*dataset, item), image(&*folder, item), "{name}, item {item}");
        }
        if dataset.data(Modality::Text).is_some() {
            assert_eq!(captions(&*dataset, 13), ["a dog, number 3", "picture 3 of a dog"], "{name}");
        }
        assert_eq!(dataset.split("split", 3).unwrap(), folder.split("split", 3).unwrap(), "{name}");
    }
}

#[test]
fn captions_that_not_every_item_has_are_counted() {
    let (_, settings) = forms()[3].clone();
    let found = open("table", settings).findings();
    assert_eq!(found[0], "40 items in 4 classes, 2 to 3 captions per item, of which the first 2 are used");
    assert!(found[1].starts_with("files: 40 rows in "), "{found:?}");
}

#[test]
fn captions_as_labels_are_noticed() {
    let settings =
        json!({"files": "photos.jsonl", "root": "photos", "image": "file", "labels": ["captions"], "queries": 8});
    let found = open("table", settings).findings();
    let expected = "20 of 40 items share no label with another; are the labels names or captions?";
    assert!(found.iter().any(|line| line == expected), "{found:?}");
}

#[test]
fn lists_give_the_split_and_their_order() {
    let dataset = open(
        "image_list",
        json!({"query": "query.txt", "database": "database.txt", "train": "train.txt", "root": "photos"}),
    );
    let split = dataset.split("split", 0).unwrap();
    assert_eq!(split.query, (0..8).collect::<Vec<_>>());
    let mut database = split.database.clone();
    database.sort_unstable();
    assert_eq!(database, (8..40).collect::<Vec<_>>());
    assert_eq!(split.train.len() + split.validation_query.len(), 24);
    assert_eq!(dataset.labels().classes_of(1), [0], "the second line of query.txt is cat/5.png");
    let folder = open("image_folder", json!({"dir": "photos", "queries": 8}));
    assert_eq!(image(&*dataset, 1), image(&*folder, 5));
}

#[test]
fn the_identity_is_that_of_the_content() {
    let root = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        let to = root.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(fixtures().join(from), to).unwrap();
    };
    for class in ["cat", "dog"] {
        for number in [0, 1, 2, 4, 5, 6, 8] {
            copy(&format!("photos/{class}/{number}.png"), &format!("a/{class}/{number}.png"));
            copy(&format!("photos/{class}/{number}.png"), &format!("b/{class}/{number}.png"));
        }
    }
    let identity = |dir: &str| {
        let dataset = opened("image_folder", json!({"dir": dir, "queries": 2}), root.path()).unwrap();
        (dataset.info().identity.clone(), dataset)
    };
    let (first, dataset) = identity("a");
    assert_eq!(first, identity("b").0, "places do not count");
    fs::copy(fixtures().join("photos/owl/0.png"), root.path().join("a/cat/0.png")).unwrap();
    let Some(ItemData::Images(images)) = dataset.data(Modality::Image) else { panic!("there are images") };
    let changed = images.image(0).unwrap_err().to_string();
    assert!(changed.contains("a/cat/0.png: the file changed since it was digested"), "{changed}");
    assert_ne!(first, identity("a").0);
}

#[test]
fn parquet_columns_of_every_kind_are_labels() {
    let with = |extra: Value| {
        let mut settings = json!({"files": "hub-*.parquet", "image": "image", "queries": 8});
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        open("parquet", settings)
    };
    let tags = with(json!({"labels": ["tags"]}));
    assert_eq!(tags.info().classes, ["cat", "dog", "odd", "owl", "yak"]);
    assert_eq!([tags.labels().classes_of(0), tags.labels().classes_of(1)], [vec![0], vec![0, 2]]);
    let hot = with(json!({"labels": ["hot"], "label_form": "hot"}));
    assert_eq!(classes(&*hot), classes(&*with(json!({"labels": ["label"]}))));
    let both = with(json!({"labels": ["title", "label"]}));
    assert!(both.info().classes.contains(&"label=3".to_owned()), "{:?}", both.info().classes);
}

#[test]
fn parquet_images_come_in_any_order_from_many_threads() {
    let (name, settings) = forms()[4].clone();
    let dataset = open(name, settings);
    let folder = open("image_folder", json!({"dir": "photos", "queries": 8}));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (dataset, folder) = (&dataset, &folder);
            scope.spawn(move || {
                for step in 0..40 {
                    let item = (step * 7 + thread * 11) % 40;
                    assert_eq!(image(&**dataset, item), image(&**folder, item));
                }
            });
        }
    });
}
