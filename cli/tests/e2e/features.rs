//! Features as files for other programs.

use crate::lab::{FILE, Lab, TINY, files_named};
use crate::npy::Array;

const FEATURES: [&str; 4] = ["features", FILE, "--out", "out"];

fn array(lab: &Lab, name: &str) -> Array {
    Array::read(lab, &format!("out/{name}.npy"))
}

#[test]
fn features_views_labels_and_splits_agree() {
    let lab = Lab::with(TINY);
    let listing = lab.ok(&FEATURES);
    let split = ["train", "validation_query", "query", "database"];
    let [train, validation, query, database] = split.map(|role| array(&lab, role).u32());
    assert_eq!([train.len(), validation.len(), query.len(), database.len()], [243, 27, 30, 270]);
    assert!(listing.contains("features.npy  (300, 128) f32") && listing.contains("train.npy  (243,) u32"), "{listing}");

    let plain = array(&lab, "features");
    assert_eq!(plain.shape, [300, 128]);
    let views: Vec<Array> = (0..4).map(|view| array(&lab, &format!("view_{view:03}"))).collect();
    assert!(!lab.path("out/view_004.npy").exists());
    for view in &views {
        assert_eq!(view.shape, [train.len(), 128]);
        assert!(view.f32().iter().all(|value| value.is_finite()));
    }
    assert_ne!(views[0], views[1]);
    assert!(plain.f32().iter().all(|value| value.is_finite()));

    let labels = array(&lab, "labels");
    assert_eq!(labels.shape, [300, 20]);
    for item in labels.u8().chunks_exact(20) {
        assert!((1..=3).contains(&item.iter().sum::<u8>()), "{item:?}");
    }
}

#[test]
fn a_view_is_nearer_to_its_own_image_than_to_others() {
    let lab = Lab::with(TINY);
    lab.ok(&FEATURES);
    let (plain, view, train) =
        (array(&lab, "features").f32(), array(&lab, "view_000").f32(), array(&lab, "train").u32());
    let row = |values: &[f32], at: usize| values[at * 128..(at + 1) * 128].to_vec();
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    let (mut own, mut other) = (0.0, 0.0);
    for (at, &item) in train.iter().enumerate() {
        own += distance(&row(&view, at), &row(&plain, item as usize));
        other += distance(&row(&view, at), &row(&plain, train[(at + 1) % train.len()] as usize));
    }
    assert!(own < 0.8 * other, "{own} {other}");
}

#[test]
fn a_second_call_and_a_sweep_extract_nothing() {
    let lab = Lab::with(TINY);
    let first = lab.ok(&FEATURES);
    let stamps = || {
        let files = files_named(&lab.path("runs/cache"), "data.f32");
        files.iter().map(|file| file.metadata().unwrap().modified().unwrap()).collect::<Vec<_>>()
    };
    let (before, exported) = (stamps(), array(&lab, "features"));
    assert_eq!(before.len(), 1 + 4);
    assert_eq!(lab.ok(&FEATURES), first);
    lab.ok(&["sweep", FILE]);
    assert_eq!(stamps(), before);
    assert_eq!(array(&lab, "features"), exported);
}

#[test]
fn the_cache_lists_its_content_and_shrinks() {
    let lab = Lab::with(TINY);
    assert_eq!(lab.ok(&["cache"]), "runs/cache: no features yet\n");
    lab.ok(&FEATURES);
    let listing = lab.ok(&["cache"]);
    assert!(listing.starts_with("runs/cache: 5 feature files, "), "{listing}");
    assert_eq!(listing.matches("convnet").count(), 5, "{listing}");
    assert!(!listing.contains("incomplete"), "{listing}");

    let pruned = lab.ok(&["cache", "--prune", "0"]);
    assert!(pruned.starts_with("removed 5 feature files, ") && pruned.ends_with("; 0.0 MiB are left\n"), "{pruned}");
    assert!(files_named(&lab.path("runs/cache"), "data.f32").is_empty());
    lab.ok(&["cache", "--runs", "elsewhere"]);
    assert!(!lab.path("elsewhere").exists(), "a listing makes nothing");
}

/// What is exported is what runs work on: read back as a data set, it gives the same numbers.
#[test]
fn exported_features_read_back_give_the_same_results() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    lab.ok(&FEATURES);
    let found = |lab: &Lab| -> Vec<_> {
        let results = lab.runs().into_iter().map(|run| run.result().unwrap());
        results.map(|result| (result.test, result.validation, result.epoch)).collect()
    };
    let computed = found(&lab);
    let (_, rest) = TINY.split_once("[train]").unwrap();
    lab.write(
        FILE,
        format!("dataset = \"features\"\nbits = [16]\nseeds = [0, 1]\n\n[data]\ndir = \"out\"\n\n[train]{rest}"),
    );
    lab.ok(&["sweep", FILE]);
    assert_eq!(found(&lab), computed);
}

#[test]
fn an_export_leaves_nothing_of_an_earlier_one_and_keeps_other_files() {
    let lab = Lab::with(TINY);
    lab.ok(&FEATURES);
    lab.write("out/notes.npy", "mine");
    lab.ok(&[&FEATURES[..], &["--set", "image.views=2"]].concat());
    assert!(lab.path("out/view_001.npy").exists() && !lab.path("out/view_002.npy").exists());
    assert_eq!(lab.read("out/notes.npy"), "mine");
}

#[test]
fn a_folder_is_not_exported_to_while_it_is_read_from() {
    let lab = Lab::with(TINY);
    lab.ok(&FEATURES);
    let before = array(&lab, "database");
    lab.write(FILE, "dataset = \"features\"\nbits = [16]\n[data]\ndir = \"out\"\n[[method]]\nname = \"lsh\"\n");
    let said = lab.refused(&["features", FILE, "--out", "./out/../out"]);
    assert!(said.contains("is read from out/") && said.contains("\nhelp: name another directory"), "{said}");
    assert_eq!(array(&lab, "database"), before);
}

/// On a terminal there is a bar.
#[test]
fn progress_is_shown_where_there_is_no_terminal() {
    let lab = Lab::with(TINY);
    let said = lab.run(&FEATURES).stderr;
    assert!(said.lines().any(|line| line.ends_with(": 0 of 300 items")), "{said}");
    assert!(said.lines().count() <= 5, "a line for each set of features: {said}");
}
