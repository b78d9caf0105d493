//! Items that cannot be read, or have no label.

use std::fs;

use hashlab_data::{ItemData, Modality};
use serde_json::{Value, json};

use crate::{fixtures, image, opened, refused_in};

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

/// Of the 17 items 15 are left, 14 of them with a label.
#[test]
fn more_queries_than_items_are_left_is_refused_with_what_was_left_out() {
    let root = imperfect();
    let refused = |more: Value| -> String {
        let mut settings = json!({"files": "all.txt", "unreadable": "skip"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let dataset = opened("image_list", settings, root.path()).unwrap();
        let error = dataset.split("split", 0).unwrap_err().to_string();
        error.replace(&format!("{}/", root.path().display()), "")
    };
    let out = "left out before: 1 of 17 items have no image: gone.jpg; \
               1 of 17 items have an image that cannot be decoded: cut.jpg";
    let lower = "help: lower `queries` in [data]";
    let cases = [
        (json!({"queries": 17}), "`queries` asks for 17 of 15 items, 14 of them with a label", lower),
        (json!({"queries": 15}), "`queries` asks for 15 of 15 items, 14 of them with a label", lower),
        (
            json!({"queries": 0.01}),
            "`queries` asks for 0 of 15 items, which is none",
            "help: raise `queries` in [data]",
        ),
        (
            json!({"queries": 10, "train_items": 6}),
            "`queries` and `train_items` ask for 10 and 6 of 15 items",
            "help: lower `queries` or `train_items` in [data]",
        ),
        (
            json!({"queries": 10, "train_items": 5, "train_in_database": false}),
            "`queries` and `train_items` ask for 10 and 5 of 15 items: none is left to search in",
            "help: lower `queries` or `train_items` in [data]",
        ),
        (
            json!({"queries": 9, "per_class": true}),
            "the protocol needs 9 items of class `0`, got 7",
            "help: lower `queries` or `train_items`, or leave `per_class` out of [data]",
        ),
    ];
    for (settings, problem, help) in cases {
        assert_eq!(refused(settings), format!("{problem}; {out}\n{help}"));
    }
    let all = refused(json!({"queries": 14, "unlabelled": "skip"}));
    assert!(all.starts_with("`queries` asks for 14 of 14 items: none is left to train on; left out before: "), "{all}");

    // Files that give a split of which no query is left.
    fs::write(root.path().join("q.txt"), "cut.jpg 1 0\ngone.jpg 1 0\n").unwrap();
    let given = json!({"query": "q.txt", "database": "all.txt", "unreadable": "skip"});
    let given = opened("image_list", given, root.path()).unwrap().split("split", 0).unwrap_err().to_string();
    assert!(given.starts_with("the split's `query` is empty; the split is given: query of q.txt"), "{given}");
    assert!(given.contains("; left out before: 1 of 17 items have no image: "), "{given}");
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
