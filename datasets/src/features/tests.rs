//! Arrays as numpy and safetensors write them, their splits, and their mistakes.

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor, WithDType};
use hashlab_settings::Schema;
use serde_json::json;

use super::*;

fn npy<T: WithDType>(path: &Path, shape: &[usize], values: impl IntoIterator<Item = T>) {
    let values: Vec<T> = values.into_iter().collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().write_npy(path).unwrap();
}

/// 40 items of 3 features, two classes.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    npy(&folder.path().join("features.npy"), &[40, 3], (0..120).map(|value| value as f32 / 8.0));
    npy(&folder.path().join("labels.npy"), &[40], (0..40).map(|item| i64::from(item % 2)));
    folder
}

fn load(folder: &Path, more: serde_json::Value) -> Result<Features, DataError> {
    let mut settings = json!({ "dir": folder.to_str() });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Features::load(&serde_json::from_value(settings).unwrap(), &DataDirs::of(vec![]))
}

#[test]
fn features_labels_and_a_drawn_split_are_read() {
    let folder = folder();
    let data = load(folder.path(), json!({ "queries": 10, "train_items": 20 })).unwrap();
    assert_eq!((data.len(), data.labels().classes()), (40, 2));
    let Some(ItemData::Features(features)) = data.data(Modality::Image) else { panic!("no features") };
    let mut row = [0.0; 6];
    features.read(&[39, 1], 0, &mut row).unwrap();
    assert_eq!(row, [117.0 / 8.0, 118.0 / 8.0, 119.0 / 8.0, 0.375, 0.5, 0.625]);
    let split = data.split("split", 1).unwrap();
    assert_eq!((split.query.len(), split.train.len(), split.database.len()), (10, 18, 30));
    assert_ne!(split, data.split("split", 2).unwrap());
    assert!(data.data(Modality::Text).is_none());
}

#[test]
fn the_identity_is_the_content() {
    let (a, b) = (folder(), folder());
    let identity = |folder: &Path| load(folder, json!({ "queries": 10 })).unwrap().info.identity;
    assert_eq!(identity(a.path()), identity(b.path()));
    npy(&b.path().join("labels.npy"), &[40], (0..40).map(|item| i64::from((item + 1) % 2)));
    assert_ne!(identity(a.path()), identity(b.path()));
}

#[test]
fn index_files_give_the_split() {
    let folder = folder();
    npy(&folder.path().join("query.npy"), &[5], 0..5u32);
    npy(&folder.path().join("train.npy"), &[10], 20..30u32);
    npy(&folder.path().join("validation_query.npy"), &[3], 5..8u32);
    let split = load(folder.path(), json!({})).unwrap().split("split", 0).unwrap();
    assert_eq!((split.query, split.train), ((0..5).collect(), (20..30).collect()));
    assert_eq!((split.validation_query, split.database.len()), ((5..8).collect(), 32));
}

#[test]
fn views_and_multi_hot_labels_have_their_own_shapes() {
    let folder = folder();
    npy(&folder.path().join("features.npy"), &[40, 2, 3], (0..240).map(|value| value as f32));
    npy(&folder.path().join("labels.npy"), &[40, 4], (0..160).map(|value| u8::from(value % 3 == 0)));
    let data = load(folder.path(), json!({ "queries": 10 })).unwrap();
    let Some(ItemData::Features(features)) = data.data(Modality::Image) else { panic!("no features") };
    let mut row = [0.0; 3];
    features.read(&[2], 1, &mut row).unwrap();
    assert_eq!((features.views(), row), (2, [15.0, 16.0, 17.0]));
    assert_eq!(data.labels().classes_of(0), [0, 3]);
}

#[test]
fn views_of_the_training_items_lie_in_files_of_their_own() {
    let folder = folder();
    npy(&folder.path().join("query.npy"), &[5], 0..5u32);
    npy(&folder.path().join("train.npy"), &[3], [9u32, 7, 20]);
    for view in 0..2u8 {
        let values = (0..9).map(|value| value as f32 + 100.0 * f32::from(view + 1));
        npy(&folder.path().join(format!("view_00{view}.npy")), &[3, 3], values);
    }
    let data = load(folder.path(), json!({})).unwrap();
    let Some(ItemData::Features(features)) = data.data(Modality::Image) else { panic!("no features") };
    assert_eq!((features.views(), features.drawn()), (3, 1..3));
    let mut row = [0.0; 3];
    features.read(&[20], 2, &mut row).unwrap();
    assert_eq!(row, [206.0, 207.0, 208.0]);
    assert!(features.read(&[8], 1, &mut row).unwrap_err().to_string().contains("item 8 is not trained on"));
    npy(&folder.path().join("view_001.npy"), &[2, 3], [0.0f32; 6]);
    let message = load(folder.path(), json!({})).err().unwrap().to_string();
    assert!(message.ends_with("view_001.npy has 2 rows for 3 training items"), "{message}");
}

#[test]
fn mistakes_name_the_file_and_what_was_expected() {
    let folder = folder();
    let message = |more| load(folder.path(), more).err().unwrap().to_string();
    assert!(message(json!({})).contains("`queries = 1000` in [data]"));
    assert!(
        message(json!({ "text": "none.npy", "queries": 4 }))
            .contains("`none.npy` of data set `features` was not found")
    );
    fs::write(folder.path().join("bad.npy"), b"no array").unwrap();
    let bad = folder.path().join("bad.npy");
    assert!(message(json!({ "labels": bad.to_str(), "queries": 4 })).contains("bad.npy"));
    npy(&bad, &[39], 0..39u32);
    assert_eq!(
        message(json!({ "labels": bad.to_str(), "queries": 4 })),
        "the image features have 40 items, the labels 39"
    );
    npy(&bad, &[40], (0..40).map(|item| if item == 7 { u32::MAX } else { 0 }));
    let many = message(json!({ "labels": bad.to_str(), "queries": 4 }));
    assert!(many.contains("bad.npy") && many.contains("class number 4294967295"), "{many}");
    npy(&bad, &[2, 2], [1.0f32, 2.0, f32::NAN, 3.0]);
    let nan = message(json!({ "image": bad.to_str(), "queries": 4 }));
    assert!(nan.contains("feature 0 of item 1 is NaN, expected a finite number"), "{nan}");
}

#[test]
fn settings_must_name_features_and_one_kind_of_split() {
    let check = |settings: serde_json::Value| Schema::of::<Settings>().check(settings.as_object().unwrap()).to_string();
    let nothing = Features::load(&Settings::default(), &DataDirs::of(vec![])).err().unwrap().to_string();
    assert!(nothing.contains("features of any modality") && nothing.contains("set `dir`"), "{nothing}");
    assert!(check(json!({ "dir": "x", "queries": 3, "query": "q.npy" })).contains("leave one of them out"));
    assert_eq!(check(json!({ "dir": "x", "queries": 3 })), "");
}

/// The three forms of arrays, and MATLAB's two.
#[test]
fn changed_files_are_answered() {
    let numbers = Tensor::arange(0f32, 120.0, &Device::Cpu).unwrap().reshape((40, 3)).unwrap();
    let labels = Tensor::new((0..40).map(|item| i64::from(item % 2)).collect::<Vec<_>>(), &Device::Cpu).unwrap();
    for form in ["features.npy", "features.npz#features", "features.safetensors"] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(form.split('#').next().unwrap_or_default());
        match form {
            "features.npy" => numbers.write_npy(&path).unwrap(),
            "features.safetensors" => numbers.save_safetensors("features", &path).unwrap(),
            _ => Tensor::write_npz(&[("features", &numbers), ("labels", &labels)], &path).unwrap(),
        }
        labels.write_npy(root.path().join("labels.npy")).unwrap();
        let open = || load(root.path(), json!({"image": root.path().join(form), "queries": 10}));
        crate::own::mutations::are_answered(root.path(), 400, open);
    }
    let mat = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mat");
    for file in ["plain/label.mat", "cells/label.mat", "v73/label.mat"] {
        let root = tempfile::tempdir().unwrap();
        fs::copy(mat.join(file), root.path().join("array.mat")).unwrap();
        labels.write_npy(root.path().join("labels.npy")).unwrap();
        let open = || load(root.path(), json!({"image": root.path().join("array.mat"), "queries": 10}));
        crate::own::mutations::are_answered(root.path(), 400, open);
    }
}
