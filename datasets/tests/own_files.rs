//! Readers of a user's own files, on small data sets that `fixtures/generate.py` wrote with Pillow and pyarrow.

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

/// A folder with a broken image, a missing one in its list, and unlabelled ones.
fn imperfect() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let mut list = String::new();
    for class in ["cat", "dog"] {
        for number in [0, 1, 2, 4, 5, 6, 8] {
            let (from, to) = (format!("photos/{class}/{number}.png"), format!("{class}{number}.png"));
            fs::copy(fixtures().join(from), root.path().join(&to)).unwrap();
            list += &format!("{to} {}\n", if class == "cat" { "1 0" } else { "0 1" });
        }
    }
    let whole = fs::read(fixtures().join("photos/cat/3.jpg")).unwrap();
    fs::write(root.path().join("cut.jpg"), &whole[..whole.len() / 2]).unwrap();
    fs::copy(fixtures().join("photos/owl/0.png"), root.path().join("none.png")).unwrap();
    list += "cut.jpg 1 0\ngone.jpg 1 0\nnone.png 0 0\n";
    fs::write(root.path().join("all.txt"), list).unwrap();
    root
}

#[test]
fn items_that_cannot_be_read_are_left_out_on_request() {
    let root = imperfect();
    let settings = json!({"files": "all.txt", "queries": 4, "unreadable": "skip"});
    let dataset = opened("image_list", settings, root.path()).unwrap();
    let found: Vec<String> =
        dataset.findings().iter().map(|line| line.replace(&format!("{}/", root.path().display()), "")).collect();
    assert_eq!(
        found,
        [
            "15 items in 2 classes",
            "files: 17 lines in all.txt",
            "1 of 17 items have no image: gone.jpg; left out",
            "1 of 17 items have an image that cannot be decoded: cut.jpg; left out",
            "1 of 17 items have no label: none.png; kept, but never a query",
        ]
    );
    assert!((0..15).all(|item| image(&*dataset, item).width == 8));
    for seed in 0..20 {
        let split = dataset.split("split", seed).unwrap();
        assert!(
            !split.query.contains(&14) && !split.validation_query.contains(&14),
            "an item without a label is a query"
        );
        assert!(split.database.contains(&14));
    }
    let settings = json!({"files": "all.txt", "queries": 4, "unreadable": "skip", "unlabelled": "skip"});
    assert_eq!(opened("image_list", settings, root.path()).unwrap().len(), 14);
}

#[test]
fn what_cannot_be_read_is_an_error_otherwise() {
    let root = imperfect();
    let missing = refused_in("image_list", json!({"files": "all.txt", "queries": 4}), root.path());
    assert_eq!(
        missing,
        "1 of 17 items have no image: gone.jpg\nhelp: correct the paths or add what is missing; \
         `image_folder`, `image_list`, `table` and `parquet` can leave such items out: `unreadable = \"skip\"` in [data]"
    );
    let without = fs::read_to_string(root.path().join("all.txt")).unwrap().replace("gone.jpg 1 0\n", "");
    fs::write(root.path().join("some.txt"), without).unwrap();
    let unlabelled = json!({"files": "some.txt", "queries": 4, "unlabelled": "fail"});
    assert!(
        refused_in("image_list", unlabelled, root.path()).starts_with("1 of 16 items have no label: none.png\nhelp: ")
    );
    let dataset = opened("image_list", json!({"files": "some.txt", "queries": 4}), root.path()).unwrap();
    let Some(ItemData::Images(images)) = dataset.data(Modality::Image) else { panic!("there are images") };
    let cut = images.image(14).unwrap_err().to_string();
    assert!(cut.contains("cut.jpg: cannot decode") && cut.contains("ends before its image does"), "{cut}");
}

#[test]
fn wrong_input_names_file_and_line_and_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
    file("short.txt", "a.png 1 0 0\nb.png 1 0\n");
    file("numbers.txt", "a.png 7\n");
    file("twice.txt", "a.png 1 0\nb.png 0 1\na.png 0 1\n");
    file("b.txt", "b.png 1 0\n");
    file("other.txt", "a.png 1 0\nb.png 0 1\n");
    file("empty.txt", "\n");
    file("ragged.csv", "file,kind\na.png,cat\nb.png\n");
    file("open.csv", "file,kind\na.png,cat\nb.png,\"dog\nc.png,cat\n");
    file("doubled.csv", "file,kind,kind\na.png,cat,dog\n");
    file("bad.jsonl", "{\"file\": \"a.png\", \"kind\": \"cat\"}\n{\"file\": 3}\n");
    file("not.parquet", "PAR1 but no more");
    let mut said = String::new();
    let mut case = |name: &str, settings: Value| said += &format!("{}\n\n", refused_in(name, settings, root.path()));
    let list = |file: &str| json!({"files": file, "queries": 1});
    case("image_list", list("short.txt"));
    case("image_list", list("numbers.txt"));
    case("image_list", list("twice.txt"));
    case("image_list", json!({"query": "b.txt", "database": "other.txt"}));
    case("image_list", list("empty.txt"));
    case("image_list", list("absent.txt"));
    case("image_list", json!({"files": "short.txt"}));
    let table = |file: &str| json!({"files": file, "image": "file", "labels": ["kind"], "queries": 1});
    case("table", table("ragged.csv"));
    case("table", table("open.csv"));
    case("table", table("doubled.csv"));
    case("table", table("bad.jsonl"));
    case("table", json!({"files": "ragged.csv", "image": "path", "labels": ["kind"], "queries": 1}));
    case("table", table("short.txt"));
    case("parquet", json!({"files": "not.parquet", "image": "image", "labels": ["label"], "queries": 1}));
    fs::create_dir(root.path().join("photos")).unwrap();
    case("image_folder", json!({"dir": "photos", "queries": 1}));
    case("image_folder", json!({"queries": 1}));
    insta::assert_snapshot!(said.replace(&root.path().display().to_string(), "FOLDER"));
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let with = |extra: Value| {
        let mut settings = json!({"files": "hub-*.parquet", "image": "image", "labels": ["label"], "queries": 8});
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        refused("parquet", settings)
    };
    let split = |extra: Value| {
        let mut settings = json!({"files": "hub-*.parquet", "image": "image", "labels": ["label"]});
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        open("parquet", settings).split("split", 0).unwrap_err().to_string()
    };
    let said = [
        split(json!({"queries": 41})),
        split(json!({"queries": 11, "per_class": true})),
        with(json!({"image": "picture"})),
        with(json!({"image": "title"})),
        with(json!({"captions": ["label"]})),
        with(json!({"labels": ["score"]})),
        with(json!({"labels": ["image"]})),
        with(json!({"labels": ["title"], "label_form": "hot"})),
        with(json!({"labels": []})),
        with(json!({"queries": 0.5, "per_class": true})),
    ];
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn mat_files_of_toolkits_hold_the_same_items() {
    let settings = |folder: &str| {
        json!({"dir": format!("mat/{folder}"), "root": "photos", "strip": "dataset/photos/", "queries": 8,
        "train_items": 20, "numpy_seed": 1814})
    };
    let folder = open("image_folder", json!({"dir": "photos", "queries": 8}));
    for (form, count) in [("plain", 1), ("cells", 2), ("v73", 2)] {
        let dataset = open("mat", settings(form));
        assert_eq!(classes(dataset.as_ref()), classes(folder.as_ref()), "{form}");
        assert_eq!(image(dataset.as_ref(), 7), image(folder.as_ref(), 7));
        let found = captions(dataset.as_ref(), 12);
        assert_eq!((found.len(), found[0].as_str()), (count, "a dog, number 12"));
        let split = dataset.split("split", 0).unwrap();
        // np.random.seed(1814); sorted(np.random.permutation(range(40))[:8])
        assert_eq!(split.query, NUMPY_QUERIES);
    }
    let by_seed = open("mat", json!({"dir": "mat/plain", "root": "photos", "strip": "dataset/photos/", "queries": 8}));
    assert_eq!(by_seed.split("split", 0).unwrap().query.len(), 8);
}

const NUMPY_QUERIES: [u32; 8] = [6, 9, 16, 19, 24, 26, 30, 33];

#[test]
fn mat_files_that_do_not_fit_are_refused() {
    let refusal = |name: &str, content: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        for file in ["index.mat", "caption.mat", "label.mat"] {
            fs::copy(fixtures().join("mat/plain").join(file), folder.path().join(file)).unwrap();
        }
        fs::write(folder.path().join(name), content).unwrap();
        let root = fixtures().join("photos").display().to_string();
        let settings = json!({"dir": folder.path(), "root": root, "strip": "dataset/photos/", "queries": 8});
        let message = refused_in("mat", settings, folder.path());
        message.replace(&folder.path().display().to_string(), "mat")
    };
    let fixture = |name: &str| fs::read(fixtures().join("mat/plain").join(name)).unwrap();
    let cut = &fixture("caption.mat")[..700];
    let messages = [
        refusal("label.mat", b"MATLAB 7.3 MAT-file, Platform: PCWIN64, Created on: today"),
        refusal("label.mat", &fixture("index.mat")),
        refusal("index.mat", &fixture("label.mat")),
        refusal("caption.mat", cut),
        refused("mat", json!({"dir": "mat/plain"})),
        refused("mat", json!({"dir": "mat/plain", "root": "photos", "queries": 41, "strip": "dataset/photos/"})),
    ];
    insta::assert_snapshot!(messages.join("\n\n"));
}
