//! A user's own images: checked, shown, and run on.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
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

/// A folder of features of 40 items, with index files.
fn features(lab: &Lab) {
    fs::create_dir(lab.path("mine")).unwrap();
    let write = |name: &str, tensor: Tensor| tensor.write_npy(lab.path(&format!("mine/{name}.npy"))).unwrap();
    let numbers = |count: u32| Tensor::arange(0, count, &Device::Cpu).unwrap();
    let values: Vec<f32> = (0..40 * 8).map(|at| (at as f32 * 0.7).sin()).collect();
    write("features", Tensor::from_vec(values, (40, 8), &Device::Cpu).unwrap());
    write("labels", Tensor::from_vec((0..40i64).map(|item| item % 2).collect(), 40, &Device::Cpu).unwrap());
    for name in ["query", "train", "database", "validation_query", "validation_database"] {
        write(name, numbers(4));
    }
}

const FEATURES: &str = r#"dataset = "features"
bits = [8]
seeds = [0]

[data]
dir = "mine"
queries = 8

[[method]]
name = "lsh"
"#;

/// A key that cannot take effect is a mistake; the file and the line of it are named.
#[test]
fn a_key_that_would_be_ignored_is_refused_at_its_line() {
    let lab = Lab::with(FEATURES);
    features(&lab);
    assert!(lab.ok(&["plan", FILE]).contains("1 missing"), "files that lie in the folder are no keys");
    for key in ["query", "train", "database", "validation_query", "validation_database"] {
        lab.write(FILE, FEATURES.replace("queries = 8", &format!("queries = 8\n{key} = \"mine/{key}.npy\"")));
        let said = lab.refused(&["sweep", FILE]);
        assert!(said.contains(&format!("`queries` draws a split, `{key}` would give one")), "{key}: {said}");
        assert!(said.contains("tiny.toml:7:"), "{key}: {said}");
        assert!(!lab.path("runs").exists(), "nothing has started");
    }
    for (dir, reason) in [("none", "`dir = \"none\"` of data set `features` was not found"), (FILE, "this is a file")] {
        lab.write(FILE, FEATURES.replace("mine", dir).replace("queries", "image = \"mine/features.npy\"\nqueries"));
        assert!(lab.refused(&["plan", FILE]).contains(reason), "{dir}");
    }
    let all = "image = \"mine/features.npy\"\ntext = \"mine/features.npy\"\nlabels = \"mine/labels.npy\"\nqueries";
    lab.write(FILE, FEATURES.replace("queries", all));
    assert!(lab.refused(&["plan", FILE]).contains("`dir` gives nothing where"));
    let list = EXPERIMENT.replace("image_folder", "image_list").replace("dir = \"photos\"\nqueries = 8", "KEYS");
    let table = list.replace("image_list", "table");
    for (text, keys, expected) in [
        (&list, "query = \"q.txt\"\nper_class = true", "`per_class` belongs to a split that `queries` draws"),
        (&list, "files = \"q.txt\"\nqueries = 2\ntrain_in_database = false", "`train_in_database` belongs to a split"),
        (&table, "files = \"t.csv\"\nqueries = 2\ncaptions = [\"a\"]\nroot = \".\"", "`root` is about images"),
        (&table, "files = \"t.csv\"\nqueries = 2\ncaptions = [\"a\"]\nexif = \"apply\"", "`exif` is about images"),
        (&table, "files = \"t.csv\"\nqueries = 2\nimage = \"a\"\nlabel_form = \"hot\"", "which names no column"),
    ] {
        lab.write(FILE, text.replace("KEYS", keys));
        let said = lab.refused(&["plan", FILE]);
        assert!(said.contains(expected) && said.contains("tiny.toml:"), "{keys}: {said}");
    }
}

/// Names that are no text are read as they are, or refused with what to do.
#[test]
fn names_that_are_not_utf8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let odd = OsStr::from_bytes(b"a\xff");
    let lab = lab(EXPERIMENT);
    let photo = lab.path("photos/cat").join(odd).with_extension("png");
    fs::copy(lab.path("photos/cat/0.png"), &photo).unwrap();
    let said = lab.refused(&["plan", FILE]);
    assert!(said.contains("the name is no UTF-8") && said.contains("rename the file"), "{said}");
    fs::remove_file(photo).unwrap();
    // A folder of data, an experiment, a directory of runs.
    for (name, flag) in [("data", "--data-dir"), ("runs", "--runs"), ("cache", "--cache-dir")] {
        let folder = lab.path(name).join(odd);
        fs::create_dir_all(&folder).unwrap();
        let mut plan = lab.command(&["plan", FILE, flag]);
        let said = crate::lab::refused({
            plan.arg(&folder);
            plan
        });
        assert!(said.contains(flag) && said.contains("is not UTF-8\nhelp: "), "{flag}: {said}");
    }
    let file = lab.path("").join(odd).with_extension("toml");
    fs::copy(lab.path(FILE), &file).unwrap();
    let mut plan = lab.command(&["plan"]);
    plan.arg(&file);
    let said = crate::lab::refused(plan);
    assert!(said.contains("is not UTF-8\nhelp: "), "{said}");
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
    let swept = lab.run(&["sweep", FILE, skipping[0], skipping[1]]);
    assert_eq!(swept.code, Some(0), "{swept:#?}");
    assert_eq!(swept.stderr.matches("left out").count(), 1, "the plan warns of it once: {}", swept.stderr);
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
