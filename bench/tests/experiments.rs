//! Every file in `experiments/` runs as it stands: what it needs is fetched from a hub on this machine, which has random
//! weights of the published shapes; sets that are put in place by hand are written here in their published layout, with a
//! five-hundredth of their items. Runs are shortened to their first steps.

#[allow(dead_code, reason = "its other users are tests of the program")]
#[path = "../../cli/src/hub/local.rs"]
mod local;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use local::{Fault, LocalHub, proxied};
use serde_json::{Value, json};

/// What shortens a run, where its file has the key at all.
const SHORTER: [(&str, &str); 8] = [
    ("seeds", "seeds=[0]"),
    ("bits", "bits=[16]"),
    ("epochs", "train.epochs=1"),
    ("warmup_epochs", "train.warmup_epochs=0"),
    ("batch_size", "train.batch_size=8"),
    ("validate_every", "train.validate_every=1"),
    ("image_size", "image.image_size=32"),
    ("views", "image.views=2"),
];

struct Lab {
    folder: tempfile::TempDir,
    hub: LocalHub,
}

impl Lab {
    fn new() -> Self {
        let hub = LocalHub::with_files(Fault::None, Arc::new(hashlab_bench::stand_ins::file));
        Self { folder: tempfile::tempdir().unwrap(), hub }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hashlab-small"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HASHLAB_")) {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", &self.hub.endpoint).env("HF_HOME", self.path("huggingface"));
        for name in ["HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH"] {
            command.env_remove(name);
        }
        command.args(args).current_dir(self.folder.path()).output().unwrap()
    }

    /// Runs a command that succeeds; returns what it prints.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(output.status.success(), "{args:?}: {}\n{out}\n{err}", output.status);
        out
    }

    /// Fetches what an experiment needs, plans it as it is, and takes its first steps.
    #[track_caller]
    fn takes_first_steps(&self, file: &Path) {
        let text = fs::read_to_string(file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        fs::write(self.path(name), &text).unwrap();
        self.ok(&["fetch", name]);
        let planned = self.ok(&["plan", name]);
        assert!(planned.lines().count() > 1, "{planned}");
        let has = |key: &str| text.contains(&format!("\n{key} =")) || text.contains(&format!(" {key} ="));
        let sized = !text.contains("clip_vit");
        let mut args = vec!["sweep", name, "--offline", "--no-times", "--jobs", "1"];
        // Where rows have values of their own, these tell them apart.
        let once = |key: &str| text.matches(&format!("{key} =")).count() == 1;
        let fits = |key: &str| match key {
            "batch_size" | "bits" | "validate_every" => once(key),
            "image_size" => has(key) && sized,
            _ => has(key),
        };
        for (_, set) in SHORTER.iter().filter(|(key, _)| fits(key)) {
            args.extend(["--set", set]);
        }
        // No role of a small set has a whole batch of 128, without which there is nothing to evaluate.
        fs::write(self.path(name), text.replace("batch_attention = true, drop_last = true", "batch_attention = true"))
            .unwrap();
        let table = self.ok(&args);
        let methods = text.lines().filter(|line| line.starts_with("[[method]]")).count();
        let rows = table.lines().filter(|line| line.contains('.')).count();
        assert!(methods > 0 && rows > 0, "{table}");
    }

    /// Writes bytes below the data directory.
    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path("data").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes one of a few photos.
    fn photo(&self, path: &str, number: usize) {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/tests/fixtures/photos");
        let class = ["cat", "dog", "owl", "yak"][number % 4];
        self.write(path, fs::read(fixtures.join(class).join(["3.jpg", "7.jpg"][number / 4 % 2])).unwrap());
    }
}

/// 246 images of 80 categories, each with objects of three and five captions.
fn coco(lab: &Lab) {
    for (part, ids) in [("train2017", 0..236usize), ("val2017", 236..246)] {
        let image = |id: usize| json!({"id": id, "file_name": format!("{id:012}.jpg")});
        let images: Vec<Value> = ids.clone().map(image).collect();
        let object = |id: usize, at: usize| json!({"image_id": id, "category_id": 1 + (id + 7 * at) % 80});
        let objects: Vec<Value> = ids.clone().flat_map(|id| (0..3).map(move |at| object(id, at))).collect();
        let caption = |id: usize, at: usize| json!({"image_id": id, "caption": format!("a red circle {id} {at}")});
        let captions: Vec<Value> = ids.clone().flat_map(|id| (0..5).map(move |at| caption(id, at))).collect();
        let categories: Vec<Value> = (1..=80).map(|id| json!({"id": id, "name": format!("thing {id}")})).collect();
        let instances = json!({"images": images, "annotations": objects, "categories": categories});
        lab.write(&format!("coco/annotations/instances_{part}.json"), instances.to_string());
        lab.write(&format!("coco/annotations/captions_{part}.json"), json!({"annotations": captions}).to_string());
        ids.for_each(|id| lab.photo(&format!("coco/{part}/{id:012}.jpg"), id));
    }
}

/// 539 images with one of 81 concepts each and their tags, and HashNet's lists of 81 concepts.
fn nuswide(lab: &Lab) {
    const IMAGES: usize = 269_648 / 500;
    for concept in 0..81 {
        let hot = (0..IMAGES).map(|image| if image % 81 == concept { "1\n" } else { "0\n" }).collect::<String>();
        lab.write(&format!("nuswide/Groundtruth/AllLabels/Labels_c{concept:02}.txt"), hot);
    }
    let [mut list, mut tags] = [String::new(), String::new()];
    for image in 0..IMAGES {
        let _ = writeln!(list, "sea\\{image:04}.jpg ");
        let _ = writeln!(tags, "{image} red sea");
        lab.photo(&format!("nuswide/images/sea/{image:04}.jpg"), image);
    }
    lab.write("nuswide/Imagelist.txt", list);
    lab.write("nuswide/All_Tags.txt", tags);
    lists(lab, "nuswide/nuswide_81", "images/sea/{}.jpg", 81, [10, 20, 200]);
}

/// 267 images of a hundred classes in HashNet's lists.
fn imagenet100(lab: &Lab) {
    (0..267).for_each(|image| lab.photo(&format!("imagenet100/all/{image:04}.jpg"), image));
    lists(lab, "imagenet100", "./data/imagenet/all/{}.jpg", 100, [10, 26, 257]);
}

/// Writes test.txt, train.txt and database.txt of these lengths; the training images are in the database.
fn lists(lab: &Lab, folder: &str, name: &str, classes: usize, [test, train, database]: [usize; 3]) {
    let line = |image: usize| {
        let hot = (0..classes).map(|class| if image % classes == class { " 1" } else { " 0" }).collect::<String>();
        format!("{}{hot}\n", name.replace("{}", &format!("{image:04}")))
    };
    for (file, images) in [("test", 0..test), ("train", test..test + train), ("database", test..test + database)] {
        lab.write(&format!("{folder}/{file}.txt"), images.map(line).collect::<String>());
    }
}

/// 40 images with tags and 24 labels in MITH's lists.
fn mirflickr(lab: &Lab) {
    let [mut images, mut tags, mut labels] = [const { String::new() }; 3];
    for image in 1..=40 {
        let _ = writeln!(images, "mirflickr/im{image}.jpg");
        let _ = writeln!(tags, "sea,red,a{image}");
        let hot: Vec<&str> = (0..24).map(|class| if image % 8 == class % 8 { "1" } else { "0" }).collect();
        let _ = writeln!(labels, "{}", hot.join(" "));
        lab.photo(&format!("mirflickr/im{image}.jpg"), image);
    }
    for (file, text) in [("all_imgs.txt", images), ("all_tags.txt", tags), ("all_labels.txt", labels)] {
        lab.write(&format!("mirflickr/{file}"), text);
    }
}

/// The files of a folder of experiments.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    files
}

#[test]
#[ignore = "it takes minutes: just test-experiments"]
fn files_in_experiments_run_with_what_is_fetched() {
    if proxied() {
        return;
    }
    let (lab, files) = (Lab::new(), files("experiments"));
    assert!(files.len() >= 10);
    files.iter().for_each(|file| lab.takes_first_steps(file));
}

#[test]
#[ignore = "it takes minutes: just test-experiments"]
fn experiments_of_papers_take_their_first_steps() {
    if proxied() {
        return;
    }
    let (lab, files) = (Lab::new(), files("experiments/papers"));
    coco(&lab);
    nuswide(&lab);
    imagenet100(&lab);
    mirflickr(&lab);
    assert!(files.len() >= 10);
    files.iter().for_each(|file| lab.takes_first_steps(file));
}
