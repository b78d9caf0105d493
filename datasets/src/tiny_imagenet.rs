//! Tiny ImageNet: 110,000 photos of 64 × 64 pixels in 200 of ImageNet's classes.
//!
//! The files are those of the archive or, where it is missing, of the Hugging Face hub. Items of the archive are the training
//! images in the order of their paths, then the validation images in that of their annotations; its test images have no
//! labels. Those of the hub are in their order there.

use std::path::Path;

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_hub::{File, Kind, Published};
use hashlab_settings::NoParams;

use crate::image_folder::images_below;
use crate::own::Opened;
use crate::own::hub::{HubProtocol, HubSet, HubSplit, Part};
use crate::own::labels::NamedLabels;
use crate::own::places::damaged;
use crate::own::public::{Found, count, folder, given, lines};
use crate::own::split::Given;
use crate::own::strings::Strings;

const NAME: &str = "tiny_imagenet";
const HELP: &str = "`hashlab fetch tiny_imagenet` downloads the parquet files of the hub; or unpack \
                    http://cs231n.stanford.edu/tiny-imagenet-200.zip (248.1 MB) into a data directory: it makes the folder \
                    tiny-imagenet-200 with train/, val/ and wnids.txt";

/// Training and validation images.
const SIZES: [usize; 2] = [100_000, 10_000];

const HUB: HubSet = HubSet {
    name: NAME,
    parts: &[
        Part {
            name: "train",
            files: &["data/train-*-1359597a978bc4fa.parquet", "train-*-1359597a978bc4fa.parquet"],
            items: SIZES[0],
        },
        Part {
            name: "valid",
            files: &["data/valid-*-70d52db3c749a935.parquet", "valid-*-70d52db3c749a935.parquet"],
            items: SIZES[1],
        },
    ],
    image: &["image"],
    captions: &[],
    help: HELP,
    protocols: &[HubProtocol {
        name: OFFICIAL.0,
        description: OFFICIAL.1,
        map_at: None,
        split: HubSplit::Queries("valid"),
    }],
};

/// The protocol of either form.
const OFFICIAL: (&str, &str) =
    ("official", "queries the validation part (10,000), train and database the training part (100,000)");

/// Tiny ImageNet.
pub struct TinyImagenet;

impl DatasetSource for TinyImagenet {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "Tiny ImageNet",
        description: "110,000 photos of 64 × 64 pixels, 200 classes",
        source: "http://cs231n.stanford.edu/tiny-imagenet-200.zip, or https://huggingface.co/datasets/zh-plus/tiny-imagenet",
        license: "none stated; ImageNet's terms: non-commercial research and education",
        citation: "Stanford CS231N: Tiny ImageNet visual recognition challenge, a part of ImageNet (J. Deng et al., CVPR 2009)",
    };
    const PUBLISHED: Option<Published> = Some(Published {
        kind: Kind::Dataset,
        repo: "zh-plus/tiny-imagenet",
        revision: "5a77092c28e51558c5586e9c5eb71a7e17a5e43f",
        license: Self::SUMMARY.license,
        files: &[
            File {
                name: "data/train-00000-of-00001-1359597a978bc4fa.parquet",
                place: "tiny_imagenet/data/train-00000-of-00001-1359597a978bc4fa.parquet",
                sha256: None,
                megabytes: 146.0,
            },
            File {
                name: "data/valid-00000-of-00001-70d52db3c749a935.parquet",
                place: "tiny_imagenet/data/valid-00000-of-00001-70d52db3c749a935.parquet",
                sha256: None,
                megabytes: 14.6,
            },
        ],
    });
    type Settings = NoParams;

    fn open(_: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(either(dirs)?))
    }
}

/// Opens the archive, or the files of the hub where it is missing.
fn either(dirs: &DataDirs) -> Result<Opened, DataError> {
    match load(dirs, SIZES) {
        Err(DataError::Missing { .. }) => HUB.open(&["label"], dirs),
        archive => archive,
    }
}

/// Opens an archive with so many training and validation images.
fn load(dirs: &DataDirs, [train, val]: [usize; 2]) -> Result<Opened, DataError> {
    let root = folder(NAME, &["tiny-imagenet-200"], "wnids.txt", dirs, HELP)?;
    let (mut paths, mut labels) = (Strings::default(), NamedLabels::default());
    let classes = lines(&root.join("wnids.txt"), HELP, |line| Ok(labels.class(line.trim())))?;
    let mut push = |path: String, class: &str, of: &Path| {
        let known = labels.class(class);
        if known as usize >= classes.len() {
            return Err(damaged(of, format!("`{class}` is no class of wnids.txt"), HELP));
        }
        labels.push([known]);
        paths.push(&path);
        Ok(())
    };
    let folder = root.join("train");
    for image in images_below(&folder)?.images {
        let class = image.split('/').next().unwrap_or_default();
        push(format!("train/{image}"), class, &folder)?;
    }
    let annotations = root.join("val/val_annotations.txt");
    let rows = lines(&annotations, HELP, |line| {
        let mut cells = line.split('\t');
        match (cells.next(), cells.next()) {
            (Some(image), Some(class)) => Ok((image.to_owned(), class.to_owned())),
            _ => Err("expected an image, a class and a box, divided by tabs".to_owned()),
        }
    })?;
    for (image, class) in &rows {
        push(format!("val/images/{image}"), class, &annotations)?;
    }
    let first = (paths.len() - rows.len()) as u32;
    count(&folder, "training images", train, first as usize, HELP)?;
    count(&annotations, "validation images", val, rows.len(), HELP)?;
    let roles = Given {
        query: (first..paths.len() as u32).collect(),
        database: Some((0..first).collect()),
        ..Given::default()
    };
    let recipes = vec![given(OFFICIAL.0, OFFICIAL.1, None, roles)];
    let found_at = vec![root.join("wnids.txt"), annotations];
    Found { root, paths, captions: None, labels, recipes, found_at }.open(dirs)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_of_the_archive_are_read() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("tiny-imagenet-200");
        fs::create_dir_all(base.join("val/images")).unwrap();
        fs::write(base.join("wnids.txt"), "n02\nn01\n").unwrap();
        for class in ["n01", "n02"] {
            fs::create_dir_all(base.join("train").join(class).join("images")).unwrap();
            for at in 0..3 {
                fs::write(base.join(format!("train/{class}/images/{class}_{at}.JPEG")), format!("{class} {at}"))
                    .unwrap();
            }
            fs::write(base.join(format!("train/{class}/{class}_boxes.txt")), "").unwrap();
        }
        let annotations = "val_0.JPEG\tn02\t0\t0\t9\t9\nval_1.JPEG\tn01\t0\t0\t9\t9\n";
        fs::write(base.join("val/val_annotations.txt"), annotations).unwrap();
        for at in 0..2 {
            fs::write(base.join(format!("val/images/val_{at}.JPEG")), format!("val {at}")).unwrap();
        }
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        let set = load(&dirs, [6, 2]).unwrap();
        assert_eq!(set.info().classes, ["n01", "n02"]);
        assert_eq!((0..8).map(|item| set.labels().classes_of(item)[0]).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1, 1, 0]);
        let split = set.split("official", 0).unwrap();
        assert_eq!(split.query, [6, 7]);
        fs::write(base.join("val/val_annotations.txt"), "val_0.JPEG\tn03\t0\n").unwrap();
        let refused = load(&dirs, [6, 2]).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("`n03` is no class of wnids.txt"), "{refused}");
    }
}
