//! COCO's layout in small.

use std::fs;

use hashlab_data::{ItemData, Modality};
use serde_json::json;

use super::*;

/// 30 images a part, the last without an object; numbers are not in order.
fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let base = root.path().join("coco");
    fs::create_dir_all(base.join("annotations")).unwrap();
    for (at, part) in ["train2017", "val2017"].into_iter().enumerate() {
        fs::create_dir_all(base.join(part)).unwrap();
        let ids: Vec<usize> = (0..30).rev().map(|number| 1000 * at + number).collect();
        for id in &ids {
            fs::write(base.join(part).join(format!("{id:012}.jpg")), format!("image {id}")).unwrap();
        }
        let images: Vec<_> =
            ids.iter().map(|id| json!({"id": id, "file_name": format!("{id:012}.jpg"), "width": 1})).collect();
        let objects: Vec<_> = ids[1..]
            .iter()
            .flat_map(|id| {
                [
                    json!({"image_id": id, "category_id": 1 + id % 2, "area": 0.5}),
                    json!({"image_id": id, "category_id": 90}),
                ]
            })
            .collect();
        let sentences: Vec<_> = ids
            .iter()
            .flat_map(|id| (0..5).map(move |n| json!({"image_id": id, "caption": format!("caption {n} of {id}\n")})))
            .collect();
        let categories =
            json!([{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}, {"id": 90, "name": "toothbrush"}]);
        let instances = json!({"info": {}, "images": images, "annotations": objects, "categories": categories});
        fs::write(base.join(format!("annotations/instances_{part}.json")), instances.to_string()).unwrap();
        let captions = json!({"images": images, "annotations": sentences});
        fs::write(base.join(format!("annotations/captions_{part}.json")), captions.to_string()).unwrap();
    }
    root
}

fn dirs(root: &tempfile::TempDir) -> DataDirs {
    DataDirs::of(vec![root.path().to_owned()])
}

#[test]
fn items_are_in_the_order_of_their_numbers_with_classes_and_captions() {
    let root = folder();
    let dataset = load(Year::Of2017, &dirs(&root), 60, 1).unwrap();
    assert_eq!(
        dataset.findings()[..2],
        ["58 items in 3 classes, 5 captions per item", "58 of 60 images have an object"]
    );
    assert_eq!(dataset.info().classes, ["bicycle", "person", "toothbrush"]);
    assert_eq!([dataset.labels().classes_of(0), dataset.labels().classes_of(30)], [vec![1, 2], vec![0, 2]]);
    let Some(ItemData::Texts(texts)) = dataset.data(Modality::Text) else { panic!("there are captions") };
    assert_eq!([texts.text(0, 0).unwrap(), texts.text(30, 4).unwrap()], ["caption 0 of 0", "caption 4 of 1001"]);
    let Some(ItemData::Images(images)) = dataset.data(Modality::Image) else { panic!("there are images") };
    assert_eq!(images.encoded(29).unwrap().unwrap(), b"image 1000");
}

#[test]
fn protocols_are_of_the_published_sizes() {
    let recipes = recipes(122_218, 1);
    let labels = hashlab_data::Labels::single(2, (0..122_218).map(|item| item % 2));
    let split = |at: usize| recipes[at].split(&labels, &[], 0).unwrap();
    for (at, train) in [(0, 9_000), (1, 9_000), (2, 4_500)] {
        let sizes = split(at).sizes();
        assert_eq!((sizes.query, sizes.train, sizes.database), (5_000, train, 117_218));
    }
}

/// Checked against numpy 2.4.6: `numpy.random.seed(1814); p = numpy.random.permutation(range(122218))`.
#[test]
fn dchmt_draws_what_the_reference_code_draws() {
    let given = dchmt(122_218, [5_000, 10_000]);
    let sum = |items: &[u32]| items.iter().map(|&item| u64::from(item)).sum::<u64>();
    assert_eq!(given.query[..4], QUERY_START);
    assert_eq!(given.train.as_ref().unwrap()[..4], TRAIN_START);
    assert_eq!((sum(&given.query), sum(&given.train.unwrap())), SUMS);
}

const QUERY_START: [u32; 4] = [110374, 106988, 64378, 99951];
const TRAIN_START: [u32; 4] = [47900, 644, 2816, 8035];
const SUMS: (u64, u64) = (307161298, 616570144);

#[test]
fn missing_and_other_files_are_named() {
    let root = folder();
    let none = load(Year::Of2014, &dirs(&root), 60, 1).err().unwrap().to_string();
    assert!(none.contains("`coco` of 2014 was not found") && none.contains("instances_train2014.json"), "{none}");
    let few = load(Year::Of2017, &dirs(&root), IMAGES, 1).err().unwrap().to_string();
    assert!(few.contains("expected 123287 images in the files of both parts, got 60"), "{few}");
    fs::write(root.path().join("coco/annotations/captions_val2017.json"), "{\"annotations\": [").unwrap();
    let cut = load(Year::Of2017, &dirs(&root), 60, 1).err().unwrap().to_string();
    assert!(cut.contains("captions_val2017.json: not an annotation file of COCO") && cut.contains("line 1"), "{cut}");
}

#[test]
fn changed_files_are_answered() {
    let root = folder();
    crate::own::mutations::are_answered(root.path(), 60, || load(Year::Of2017, &dirs(&root), 60, 1));
}
