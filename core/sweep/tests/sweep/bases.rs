//! `extends`: experiment files on top of others; and experiments with the origins of their values.

use std::fs;
use std::path::Path;

use hashlab_sweep::{Experiment, Overrides, load};
use insta::assert_snapshot;
use tempfile::TempDir;

use crate::{catalog, plan, planned};

const BASE: &str = "dataset = \"toy\"\nbits = [16]\nseeds = [0, 1]\n[train]\nepochs = 20\nrate = 0.5\n[[method]]\nname = \"waves\"\nparams = { tau = 0.5 }\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Loads a file of a folder; diagnostics name the files without the folder.
fn loaded(folder: &TempDir, name: &str, set: &[&str]) -> Result<Experiment, String> {
    let path = folder.path().join(name);
    let overrides = Overrides {
        env: vec![("HASHLAB_SET_TRAIN__BATCH_SIZE".into(), "32".into())],
        set: set.iter().map(|set| set.to_string()).collect(),
    };
    let text = fs::read_to_string(&path).unwrap();
    load(&text, &path, &catalog::catalog(), &overrides).map_err(|wrong| plain(folder, &wrong.to_string()))
}

fn plain(folder: &TempDir, text: &str) -> String {
    text.replace(&format!("{}/", folder.path().display()), "")
}

fn load_alone(path: &Path) -> Experiment {
    let text = fs::read_to_string(path).unwrap();
    load(&text, path, &catalog::catalog(), &Overrides::default()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[test]
fn a_file_is_what_it_and_its_base_say_together() {
    let folder = folder(&[
        ("shared/base.toml", BASE),
        ("middle.toml", "extends = \"shared/base.toml\"\nseeds = [5]\n[train]\nrate = 0.25\n"),
        ("top.toml", "extends = \"middle.toml\"\nbits = [32]\n[train]\nwarmup = 3\n"),
    ]);
    let one = plan(&load_alone(&folder.path().join("top.toml"))).unwrap();
    let whole = planned(
        "dataset = \"toy\"\nbits = [32]\nseeds = [5]\n[train]\nepochs = 20\nrate = 0.25\nwarmup = 3\n\
         [[method]]\nname = \"waves\"\nparams = { tau = 0.5 }\n",
    );
    assert_eq!(one.runs, whole.runs, "the file that holds a value is no part of a run's identity");
    assert_eq!(one.name, "top");
}

#[test]
fn methods_replace_those_of_the_base() {
    let folder =
        folder(&[("base.toml", BASE), ("top.toml", "extends = \"base.toml\"\n[[method]]\nname = \"prism\"\n")]);
    let runs = plan(&load_alone(&folder.path().join("top.toml"))).unwrap().runs;
    assert!(runs.iter().all(|run| run.template().method == "prism"));
}

#[test]
fn mistakes_are_shown_in_the_file_that_makes_them() {
    let folder = folder(&[
        ("base.toml", &BASE.replace("epochs = 20", "epochs = 0").replace("rate", "rat")),
        ("top.toml", "extends = \"base.toml\"\nbits = 32\n"),
    ]);
    assert_snapshot!(loaded(&folder, "top.toml", &[]).err().unwrap());
}

#[test]
fn bases_that_cannot_be_read_are_named() {
    let folder = folder(&[
        ("base.toml", "dataset = "),
        ("a.toml", "extends = \"bsae.toml\"\n"),
        ("b.toml", "extends = 3\n"),
        ("c.toml", "extends = \"base.toml\"\n"),
        ("d.toml", "extends = \"e.toml\"\n"),
        ("e.toml", "extends = \"./d.toml\"\n"),
        ("f.toml", "extends = \"f.toml\"\n"),
        ("g.toml", BASE),
    ]);
    let mut shown: Vec<String> =
        ["a", "b", "c", "d", "f"].map(|name| loaded(&folder, &format!("{name}.toml"), &[]).err().unwrap()).into();
    shown.push(loaded(&folder, "g.toml", &["extends=base.toml"]).err().unwrap());
    assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn every_value_is_shown_with_its_origin() {
    let folder = folder(&[
        ("base.toml", BASE),
        (
            "top.toml",
            "extends = \"base.toml\"\n[train]\nwarmup = 3\n[[method]]\nname = \"waves\"\nlabel = \"Mine\"\nbits = [8]\n\
             train = { clip = 2, epochs = 3 }\nparams = { low = 0.2 }\n\
             grid = { tau = [0.2, 1], \"image.views\" = [2, 3] }\nzip = { steps = [5, 6], \"train.rate\" = [1, 2] }\n\
             when = { \"image.views\" = { tau = 1 } }\nexclude = [{ steps = 5, tau = 1, bits = 8 }]\n",
        ),
    ]);
    let experiment = loaded(&folder, "top.toml", &["train.epochs=9"]).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_snapshot!("set", plain(&folder, &experiment.resolved(false)));
    assert_snapshot!("all", plain(&folder, &experiment.resolved(true)));
    for defaults in [false, true] {
        let again = experiment.resolved(defaults);
        let runs = planned(&again).runs;
        assert_eq!(runs, plan(&experiment).unwrap().runs, "{again}");
    }
}

#[test]
fn encoders_that_no_file_names_stay_unnamed() {
    let text =
        "dataset = \"pairs\"\nbits = [16]\n[image]\n[[method]]\nname = \"waves\"\n[[method]]\nname = \"bridge\"\n";
    let resolved = crate::read(text).unwrap_or_else(|wrong| panic!("{wrong}")).resolved(true);
    assert!(resolved.contains("# [text]\n# encoder = \"words\""), "{resolved}");
    assert_eq!(planned(&resolved).runs, planned(text).runs);
}

#[test]
fn what_is_likely_to_be_a_mistake_is_a_warning() {
    let text = "dataset = \"toy\"\nbits = [16]\nseeds = [0, 1]\n[train]\nepochs = 50\n[image]\nviews = 3\nimage_size = 64\n\
                [[method]]\nname = \"ruler\"\n[[method]]\nname = \"ruler\"\n[[method]]\nname = \"prism\"\nlabel = \"p\"\n";
    let warned = |text: &str| {
        let experiment = crate::read(text).unwrap_or_else(|wrong| panic!("{wrong}"));
        let plan = plan(&experiment).unwrap();
        experiment.warnings(&plan).map(|warnings| warnings.to_string())
    };
    assert_snapshot!(warned(text).unwrap());
    let few = "dataset = \"toy\"\nbits = [16]\nseeds = [0, 1]\n[[method]]\nname = \"ruler\"\n[[method]]\nname = \"waves\"\nseeds = [1]\ngrid = { tau = [1] }\n";
    assert_snapshot!(warned(few).unwrap());
    assert_eq!(warned(&few.replace("[1] }", "[1, 2] }").replace("seeds = [1]\n", "")), None);
}
