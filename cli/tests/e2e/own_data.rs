//! A user's own images: checked, shown, and run on.

use std::fs;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use crate::lab::{FILE, Lab, unlisted};

const EXPERIMENT: &str = r#"dataset = "image_folder"
bits = [8]
seeds = [0]

[data]
dir = "photos"
queries = 8

[image]
encoder = "filterbank"
image_size = 16

[train]
epochs = 1

[[method]]
name = "itq"

[[method]]
name = "cibhash"
"#;

/// Small data sets in several forms, and where they lie.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/tests/fixtures")
}

/// A lab with the folder of images.
fn lab(experiment: &str) -> Lab {
    let lab = Lab::with(experiment);
    for class in ["cat", "dog", "owl", "yak"] {
        fs::create_dir_all(lab.path(&format!("photos/{class}/far"))).unwrap();
        for file in fs::read_dir(fixtures().join("photos").join(class)).unwrap().map(|file| file.unwrap().path()) {
            if file.is_file() {
                fs::copy(&file, lab.path(&format!("photos/{class}/{}", file.file_name().unwrap().display()))).unwrap();
            }
        }
    }
    lab
}

#[test]
fn a_folder_is_checked() {
    let lab = lab(EXPERIMENT);
    assert_snapshot!(lab.ok(&["datasets", "check", FILE]));
}

/// A run of images that changed since is not the same run.
#[test]
fn other_images_reproduce_nothing() {
    let lab = lab(EXPERIMENT);
    lab.ok(&["sweep", FILE]);
    let run = lab.runs()[0].id().0.clone();
    lab.ok(&["reproduce", &run]);
    let photos = lab.path("photos");
    let mut cats =
        fs::read_dir(photos.join("cat")).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    fs::remove_file(cats.next().unwrap()).unwrap();
    let refused = lab.refused(&["reproduce", &run]);
    assert!(refused.contains("the data set `image_folder` here is not that of run `"), "{refused}");
}

/// A split that the sweep would refuse is refused by the plan, with its key and its files.
#[test]
fn a_split_that_does_not_fit_the_items_is_found_by_the_plan() {
    let listed = EXPERIMENT.replace("image_folder", "image_list").replace(
        "dir = \"photos\"\nqueries = 8",
        "root = \"photos\"\nlabels = \"number\"\nquery = \"query.txt\"\ntrain = \"train.txt\"",
    );
    let lab = lab(&listed);
    let lines = |places: &[&str]| places.iter().map(|place| format!("{place} 0\n")).collect::<String>();
    lab.write("query.txt", lines(&["cat/0.png", "dog/0.png"]));
    lab.write("train.txt", lines(&["dog/0.png", "cat/1.png", "cat/2.png"]));
    let said = lab.refused(&["plan", FILE]);
    assert_eq!(lab.refused(&["sweep", FILE]), said);
    assert!(said.contains("is in both `query` and `train` of the split"), "{said}");
    assert!(said.contains("query of query.txt, train of train.txt"), "{said}");
    assert!(said.contains("tiny.toml:8:"), "the line of the key: {said}");
}

#[test]
fn a_damaged_image_is_named_and_may_be_left_out() {
    let lab = lab(EXPERIMENT);
    let whole = fs::read(lab.path("photos/cat/3.jpg")).unwrap();
    lab.write("photos/cat/3.jpg", &whole[..whole.len() / 2]);
    let checked = lab.run(&["datasets", "check", FILE]);
    assert_eq!(checked.code, Some(2));
    assert!(checked.stdout.contains("cannot be read: item 3: photos/cat/3.jpg: "), "{}", checked.stdout);
    let failed = lab.run(&["sweep", FILE, "--set", "seeds=[0]"]);
    assert_eq!(failed.code, Some(3), "{failed:#?}");
    assert!(failed.stderr.contains("photos/cat/3.jpg") && failed.stderr.contains("unreadable"), "{}", failed.stderr);
    let skipping = ["--set", "data.unreadable=\"skip\""];
    let checked = lab.ok(&["datasets", "check", FILE, skipping[0], skipping[1]]);
    assert!(
        checked.contains("1 of 36 items have an image that cannot be decoded: photos/cat/3.jpg; left out"),
        "{checked}"
    );
    lab.ok(&["sweep", FILE, skipping[0], skipping[1]]);
}

#[test]
fn a_page_shows_items_and_views() {
    let lab = lab(EXPERIMENT);
    assert_eq!(lab.ok(&["datasets", "show", FILE, "--out", "page.html"]), "18 items in page.html\n");
    let page = lab.read("page.html");
    // Eight queries, eight training items, and the two that are in the database alone. The image as it is, as the encoder takes it, and two views of CIBHash's transform.
    assert_eq!(page.matches("<img ").count(), 18 * 4);
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 18 * 4);
    assert!(page.contains("random_resized_crop(16") && page.contains(">owl</span>"));
}

#[test]
fn runs_follow_the_content_and_not_the_place() {
    let lab = lab(EXPERIMENT);
    let identity = |folder: &str| {
        let checked = lab.ok(&["datasets", "check", FILE, "--set", &format!("data.dir=\"{folder}\"")]);
        checked.lines().find(|line| line.contains("identity")).unwrap().to_owned()
    };
    let before = identity("photos");
    fs::rename(lab.path("photos"), lab.path("pictures")).unwrap();
    assert_eq!(identity("pictures"), before);
    fs::copy(lab.path("pictures/cat/0.png"), lab.path("pictures/dog/0.png")).unwrap();
    assert_ne!(identity("pictures"), before);
}

#[test]
fn what_is_checked_must_be_there() {
    let lab = lab(EXPERIMENT);
    assert_snapshot!(
        [
            unlisted(&lab.refused(&["datasets", "check", "photoz"])),
            lab.refused(&["datasets", "check", "none.toml"]),
            lab.refused(&["datasets", "check", "shapes", "--set", "data.items=30"]),
            lab.refused(&["datasets", "check", FILE, "--set", "data.dir=\"photoz\""]),
            lab.refused(&["plan", FILE, "--set", "data.queries=0"]),
            lab.refused(&["plan", FILE, "--set", "data.query=\"cat\""]),
        ]
        .join("\n")
    );
}
