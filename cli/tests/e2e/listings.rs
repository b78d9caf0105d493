//! What there is, and what the program can do.

use insta::assert_snapshot;

use hashlab_datasets::DATASETS;
use hashlab_encoders::ENCODERS;
use hashlab_methods::METHODS;

use crate::lab::{FILE, Lab, TINY};

fn prints(args: &[&str]) -> String {
    Lab::with(TINY).ok(args)
}

/// A listing has a line for each name. The snapshot holds those of `shown` and what is no line of a name, so that it
/// stays the same when a name is added.
fn listed<'a>(listing: &str, names: impl IntoIterator<Item = &'a str>, shown: &[&str]) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let name_of = |line: &str| names.iter().find(|name| line.split_whitespace().next() == Some(name)).copied();
    for name in &names {
        assert!(listing.lines().any(|line| name_of(line) == Some(name)), "`{name}` is missing:\n{listing}");
    }
    let kept = listing.lines().filter(|line| name_of(line).is_none_or(|name| shown.contains(&name)));
    // The width of the column of names depends on the longest.
    let columns = |line: &str| match name_of(line) {
        Some(name) => format!("  {name}  {}", line.trim_start()[name.len()..].trim_start()),
        None => line.to_owned(),
    };
    kept.map(columns).collect::<Vec<_>>().join("\n")
}

#[test]
fn methods() {
    let names = METHODS.iter().map(|method| method.info.name);
    assert_snapshot!(listed(&prints(&["methods"]), names, &["lsh", "cibhash", "bert_resnet"]));
}

#[test]
fn a_method() {
    assert_snapshot!(prints(&["methods", "cibhash"]));
}

#[test]
fn datasets() {
    let names = DATASETS.iter().map(|dataset| dataset.summary.name);
    assert_snapshot!(listed(&prints(&["datasets"]), names, &["cifar10", "shapes"]));
}

#[test]
fn a_dataset() {
    assert_snapshot!(prints(&["datasets", "shapes"]));
}

#[test]
fn a_dataset_that_is_not_here() {
    assert_snapshot!(prints(&["datasets", "cifar10"]));
}

#[test]
fn encoders() {
    let names = ENCODERS.iter().map(|encoder| encoder.name());
    let shown = ["convnet", "squeezenet1_1", "vgg16", "minilm"];
    assert_snapshot!(listed(&prints(&["encoders"]), names, &shown));
}

/// The ids are digests of the configurations: where this changes, users' runs are all executed again.
#[test]
fn a_plan() {
    let lab = Lab::with(&(TINY.to_owned() + "grid = { tau = [0.2, 0.3], \"train.epochs\" = [1, 2] }\n"));
    assert_snapshot!(lab.ok(&["plan", FILE, "--set", "seeds=[0]"]));
}

#[test]
fn help() {
    assert_snapshot!(prints(&["--help"]));
}

#[test]
fn help_with_sweep() {
    assert_snapshot!(prints(&["sweep", "--help"]));
}

#[test]
fn an_encoder() {
    assert_snapshot!(prints(&["encoders", "mobilenet_v2"]));
}

#[test]
fn an_encoder_of_texts() {
    assert_snapshot!(prints(&["encoders", "minilm"]));
}

/// Its two networks, for images and texts.
#[test]
fn an_encoder_of_images_and_texts() {
    assert_snapshot!(prints(&["encoders", "clip_vit_b_32"]));
}
