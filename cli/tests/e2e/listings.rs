//! What there is, and what the program can do.

use insta::assert_snapshot;

use crate::lab::{FILE, Lab, TINY};

fn prints(args: &[&str]) -> String {
    Lab::with(TINY).ok(args)
}

#[test]
fn methods() {
    assert_snapshot!(prints(&["methods"]));
}

#[test]
fn a_method() {
    assert_snapshot!(prints(&["methods", "cibhash"]));
}

#[test]
fn datasets() {
    assert_snapshot!(prints(&["datasets"]));
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
    assert_snapshot!(prints(&["encoders"]));
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
