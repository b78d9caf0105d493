//! The files of cross-modal toolkits.

use std::fs;

use hashlab_data::{ItemData, Modality};
use serde_json::{Value, json};

use crate::{captions, classes, fixtures, image, open, opened, refused, refused_in};

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

#[test]
fn images_of_dcmh_are_pixels_in_one_array() {
    let settings = json!({"dir": "mat/dcmh", "images": "iall.mat", "labels": "lall.mat", "queries": 4});
    let dataset = open("mat", settings.clone());
    let found = dataset.findings()[..2].join("\n").replace(&format!("{}/", fixtures().display()), "");
    assert_eq!(found, "12 items in 3 classes\n12 images of 4 × 5 pixels in `IAll` of mat/dcmh/iall.mat");
    assert_eq!(classes(&*dataset), (0..12).map(|item| vec![item % 3]).collect::<Vec<_>>());
    assert!(dataset.data(Modality::Text).is_none());
    let seventh = image(&*dataset, 7);
    assert_eq!((seventh.width, seventh.height, seventh.pixels[..4].to_vec()), (4, 5, vec![164, 165, 166, 167]));
    assert_eq!(dataset.split("split", 0).unwrap().query.len(), 4);
    std::thread::scope(|scope| {
        (0..4).for_each(|thread| {
            let dataset = &*dataset;
            scope.spawn(move || {
                for item in (0..48).map(|step| (step * 7 + thread * 5) % 12) {
                    assert_eq!(image(dataset, item).pixels[0], (60 * item) as u8);
                }
            });
        });
    });
    let with = |key: &str, value: Value| {
        let mut settings = settings.as_object().unwrap().clone();
        settings.insert(key.to_owned(), value);
        opened("mat", settings.into(), &fixtures()).map(|dataset| dataset.info().identity.clone())
    };
    assert_eq!(with("pixel_order", json!("n3wh")).unwrap(), dataset.info().identity);
    let ordered = with("pixel_order", json!("nhw3")).unwrap_err().to_string();
    assert!(ordered.contains("[12, 3, 4, 5]") && ordered.contains("`pixel_order` in [data]"), "{ordered}");
    let labels = with("labels", json!("../plain/label.mat")).unwrap_err().to_string();
    assert!(labels.contains("expected 12 rows of labels, got 40"), "{labels}");
    assert!(with("root", json!("photos")).unwrap_err().to_string().contains("belong to paths of image files"));
}

#[test]
fn bags_of_words_beside_pixels_are_features_of_texts() {
    let settings =
        json!({"dir": "mat/dcmh", "images": "iall.mat", "texts": "yall.mat", "labels": "lall.mat", "queries": 4});
    let dataset = open("mat", settings.clone());
    let found = dataset.findings()[2].replace(&format!("{}/", fixtures().display()), "");
    assert_eq!(found, "texts as 6 numbers each in mat/dcmh/yall.mat");
    let Some(ItemData::Features(words)) = dataset.data(Modality::Text) else { panic!("features are expected") };
    let mut row = [0.0; 6];
    words.read(&[8], 0, &mut row).unwrap();
    assert_eq!(row, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0], "8 + 2 is a multiple of 5");
    let mut without = settings.as_object().unwrap().clone();
    without.remove("texts");
    let pixels = open("mat", without.into());
    assert_ne!(dataset.info().identity, pixels.info().identity);
    let refusal = |key: &str, value: Value| {
        let mut settings = settings.as_object().unwrap().clone();
        settings.insert(key.to_owned(), value);
        opened("mat", settings.into(), &fixtures()).map(|_| ()).unwrap_err().to_string()
    };
    let other = refusal("texts", json!("../v73/plain.h5#XAll"));
    assert!(other.contains("expected 12 rows of text features, got 2"), "{other}");
    assert!(refusal("images", Value::Null).contains("`texts` names features beside"));
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
