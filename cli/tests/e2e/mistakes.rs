//! What a user reads who made a mistake; each ends with exit code 2 before anything starts.

use insta::assert_snapshot;

use crate::lab::{FILE, Lab, NAME, PROGRAM, TINY, refused, unlisted};

/// Sweeps [`TINY`] with `from` replaced; nothing may be left of it.
fn sweep_with(from: &str, to: &str) -> String {
    assert!(TINY.contains(from));
    let lab = Lab::with(&TINY.replace(from, to));
    let said = lab.refused(&["sweep", FILE]);
    assert!(!lab.path("runs").exists(), "nothing has started: {said}");
    said
}

#[test]
fn a_label_that_no_terminal_shows() {
    assert_snapshot!(sweep_with("name = \"itq\"", "name = \"itq\"\nlabel = \"a\\u001b[31mred\""));
}

/// One that turns the direction of writing would turn the line around it.
#[test]
fn a_label_that_turns_the_line() {
    let said = sweep_with("name = \"itq\"", "name = \"itq\"\nlabel = \"a\\u202eb\"");
    assert!(said.starts_with("error: `label` holds a control character: \"a\\u{202e}b\""), "{said}");
}

#[test]
fn a_list_written_without_brackets() {
    let lab = Lab::with(TINY);
    assert_snapshot!(lab.refused(&["plan", FILE, "--set", "seeds=0,1,2"]));
}

#[test]
fn a_misspelt_key() {
    assert_snapshot!(sweep_with("batch_size", "batchsize"));
}

#[test]
fn an_ill_typed_value() {
    assert_snapshot!(sweep_with("items = 300", "items = \"many\""));
}

#[test]
fn a_value_out_of_range() {
    assert_snapshot!(sweep_with("epochs = 8", "epochs = 0"));
}

#[test]
fn no_methods() {
    let lab = Lab::with("dataset = \"shapes\"\nbits = [16]\nmethod = []\n");
    let said = lab.refused(&["sweep", FILE]);
    for command in [&["plan", FILE][..], &["features", FILE, "--out", "out"], &["trace", FILE, "--out", "out"]] {
        assert_eq!(lab.refused(command), said);
    }
    assert!(!lab.path("runs").exists() && !lab.path("out").exists());
    assert_snapshot!(said);
}

/// Found before anything runs, not with the table at the end.
#[test]
fn an_unknown_metric() {
    let lab = Lab::with(TINY);
    let said = lab.refused(&["sweep", FILE, "--metric", "map_at_1000"]);
    assert!(!lab.path("runs").exists(), "nothing has started: {said}");
    assert_snapshot!(said);
}

#[test]
fn a_metric_for_a_format_that_holds_all() {
    let lab = Lab::with(TINY);
    let said = lab.refused(&["sweep", FILE, "--format", "jsonl", "--metric", "ndcg_at_k"]);
    assert!(!lab.path("runs").exists(), "nothing has started: {said}");
    assert_snapshot!(said);
}

#[test]
fn an_unknown_method_to_repeat() {
    let lab = Lab::with(TINY);
    let said = lab.refused(&["sweep", FILE, "--rerun", "cbihash"]);
    assert!(!lab.path("runs").exists(), "nothing has started: {said}");
    assert_snapshot!(said);
}

#[test]
fn no_toml() {
    assert_snapshot!(sweep_with("[train]", "[train"));
}

#[test]
fn an_unknown_method() {
    assert_snapshot!(sweep_with("\"cibhash\"", "\"cbihash\""));
}

#[test]
fn an_unknown_dataset() {
    assert_snapshot!(sweep_with("\"shapes\"", "\"shape\""));
}

#[test]
fn the_beginning_of_a_data_sets_name() {
    assert_snapshot!(sweep_with("\"shapes\"", "\"cifar\""));
}

#[test]
fn a_depth_that_is_none() {
    assert_snapshot!(sweep_with("[[method]]\nname = \"lsh\"", "[eval]\nmap_at = 0\n\n[[method]]\nname = \"lsh\""));
}

#[test]
fn an_unknown_protocol() {
    assert_snapshot!(sweep_with("bits = [16]", "bits = [16]\nprotocol = \"cibhash\""));
}

#[test]
fn an_unknown_encoder() {
    assert_snapshot!(unlisted(&sweep_with("\"convnet\"", "\"convnext\"")));
}

#[test]
fn an_encoder_without_its_weights() {
    assert_snapshot!(sweep_with("\"convnet\"", "\"mobilenet_v2\""));
}

#[test]
fn weights_that_are_not_there() {
    let named = "\"mobilenet_v2\"\nweights = \"mobilenet.safetensors\"";
    assert_snapshot!(sweep_with("\"convnet\"", named));
}

/// From another folder than that of the experiment, whose neighbor they are.
#[test]
fn weights_beside_the_experiment_are_found() {
    let lab = Lab::with(TINY);
    std::fs::create_dir(lab.path("there")).unwrap();
    let named = TINY.replace("\"convnet\"", "\"mobilenet_v2\"\nweights = \"beside.safetensors\"");
    lab.write("there/tiny.toml", named);
    let before = lab.refused(&["plan", "there/tiny.toml"]);
    assert!(before.contains("looked at there/beside.safetensors"), "{before}");
    lab.write("there/beside.safetensors", "no weights");
    let found = lab.refused(&["plan", "there/tiny.toml"]);
    assert!(found.contains("there/beside.safetensors") && !found.contains("looked at"), "{found}");
}

#[test]
fn weights_that_are_none() {
    let lab = Lab::with(&TINY.replace("\"convnet\"", "\"mobilenet_v2\"\nweights = \"tiny.toml\""));
    assert_snapshot!(lab.refused(&["sweep", FILE]));
}

#[test]
fn weights_that_nothing_reads() {
    assert_snapshot!(sweep_with("\"convnet\"", "\"convnet\"\nweights = \"mobilenet.safetensors\""));
}

#[test]
fn an_encoder_that_cannot_be_trained() {
    assert_snapshot!(unlisted(&sweep_with("\"convnet\"", "\"squeezenet1_1\"\nfinetune = true")));
}

#[test]
fn batch_norms_that_are_to_be_trained_in_bf16() {
    assert_snapshot!(sweep_with("\"convnet\"", "\"resnet18\"\ndtype = \"bf16\"\nfinetune = true"));
}

#[test]
fn tf32_without_a_gpu() {
    assert_snapshot!(sweep_with("\"convnet\"", "\"convnet\"\ndtype = \"tf32\""));
}

#[test]
fn an_encoder_that_is_to_be_trained_in_tf32() {
    assert_snapshot!(sweep_with("\"convnet\"", "\"convnet\"\ndtype = \"tf32\"\nfinetune = true"));
}

#[test]
fn a_layer_that_the_encoder_lacks() {
    assert_snapshot!(sweep_with("\"convnet\"", "\"convnet\"\nfrozen_until = \"fc6\""));
}

#[test]
fn a_shallow_method_that_is_to_train_its_encoder() {
    assert_snapshot!(sweep_with("\"itq\"", "\"itq\"\nimage = { finetune = true }"));
}

#[test]
fn runs_in_a_file() {
    assert_snapshot!(Lab::with(TINY).refused(&["sweep", FILE, "--runs", FILE]));
}

#[test]
fn a_dataset_that_is_not_there() {
    let shapes = "dataset = \"shapes\"";
    let lab = Lab::with(&TINY.replace(shapes, "dataset = \"cifar10\"").replace("[data]\nitems = 300\nsize = 16\n", ""));
    let said = lab.refused(&["sweep", FILE, "--data-dir", "mine"]);
    assert!(!lab.path("runs").exists(), "nothing has started: {said}");
    assert_snapshot!(said);
    assert_eq!(lab.refused(&["features", FILE, "--data-dir", "mine", "--out", "out"]), said);
}

#[test]
fn a_missing_file() {
    assert_snapshot!(Lab::with(TINY).refused(&["sweep", "tinny.toml"]));
}

#[test]
fn a_flag_that_sets_nothing() {
    assert_snapshot!(Lab::with(TINY).refused(&["sweep", FILE, "--set", "train.epochs"]));
}

#[test]
fn flags_that_set_what_is_not_there() {
    let lab = Lab::with(TINY);
    let wrong = ["--set", "train.epoch=5", "--set", "bits=16", "--set", "data.items=[1]", "--set", "eval.map_at=most"];
    assert_snapshot!(lab.refused(&[&["sweep", FILE], &wrong[..]].concat()));
}

#[test]
fn variables_that_set_what_is_not_there() {
    let lab = Lab::with(TINY);
    let mut sweep = lab.command(&["sweep", FILE]);
    sweep.env("HASHLAB_SET_TRAIN__EPOCH", "5").env("HASHLAB_SET_TRAIN__BATCH_SIZE", "many");
    assert_snapshot!(refused(sweep));
}

#[test]
fn a_table_of_an_unknown_sweep() {
    assert_snapshot!(Lab::with(TINY).refused(&["table", NAME]));
}

/// The nearest of the sweeps that there are, and all of them.
#[test]
fn a_table_of_a_sweep_that_is_misspelt() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    assert_snapshot!(lab.refused(&["table", "tinny"]));
}

#[test]
fn a_table_of_an_experiment_file() {
    assert_snapshot!(Lab::with(TINY).refused(&["table", FILE]));
}

#[test]
fn a_table_of_a_file_that_holds_no_results() {
    let lab = Lab::with(TINY);
    lab.write("results.txt", "none");
    assert_snapshot!(lab.refused(&["table", "results.txt"]));
}

/// The cause is the true one: a path that is none is not a sweep's name.
#[test]
fn tables_of_paths_that_hold_no_results() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE, "--set", "train.epochs=1"]);
    for path in ["no/results.jsonl", "no.jsonl", "./tiny", &format!("{FILE}/x")] {
        for command in [&["table"][..], &["report"], &["compare"], &["plot", "--figure", "pr", "--out", "f.svg"]] {
            let said = lab.refused(&[command, &[path]].concat());
            assert!(
                said.starts_with(&format!("error: there is no file `{path}`\nhelp: name a sweep, e.g. ")),
                "{said}"
            );
        }
    }
    let said = lab.refused(&["table", "runs/sweeps/tiny"]);
    assert!(said.starts_with("error: `runs/sweeps/tiny` is a directory\nhelp: name a sweep, e.g. "), "{said}");
    // A sweep's name is no path, whatever lies here.
    std::fs::create_dir(lab.path(NAME)).unwrap();
    lab.ok(&["table", NAME]);
    // What comes by a pipe is read as a file.
    lab.write("results.jsonl", lab.ok(&["table", NAME, "--format", "jsonl"]));
    let mut table =
        lab.command_of("sh", &["-c", &format!("cat results.jsonl | {PROGRAM} table /dev/stdin --no-times")]);
    let piped = table.output().unwrap();
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), lab.ok(&["table", NAME, "--no-times"]));
}

/// What has no end is not read to its end.
#[test]
fn devices_and_pipes_in_the_place_of_files() {
    let lab = Lab::with(TINY);
    let said = lab.refused(&["plan", "/dev/zero"]);
    assert!(said.starts_with("error: /dev/zero is a device\nhelp: "), "{said}");
    let said = lab.refused(&["table", "/dev/zero"]);
    assert!(said.starts_with("error: `/dev/zero` is a device\nhelp: "), "{said}");
    lab.ok(&["sweep", FILE, "--set", "train.epochs=1"]);
    let run = &lab.runs()[0];
    for name in ["result.json", "config.json", "error.json", "log.txt", "attempts.jsonl"] {
        let path = run.path().join(name);
        let _ = std::fs::remove_file(&path);
        mkfifo(&path);
        assert!(lab.ok(&["table", NAME]).contains("1 missing of 2 runs"), "{name}");
        lab.ok(&["report", NAME, "--out", "page.html"]);
    }
    // A pipe without a writer would be waited for; one that a shell fills is read.
    mkfifo(&lab.path("pipe"));
    let said = lab.refused(&["report", NAME, "--out", "pipe"]);
    assert!(said.starts_with("error: `--out pipe` names a pipe\nhelp: "), "{said}");
    for command in [
        &["plan", "pipe"][..],
        &["table", "./pipe"],
        &["bundle", "--check", "pipe"],
        &["eval", "--query-codes", "pipe", "--database-codes", "pipe", "--query-labels", "l", "--database-labels", "l"],
        &["sweep", FILE, "--executor", "slurm", "--slurm", "pipe"],
        &["plan", "based.toml"],
        &["plan", "listed.toml"],
        &["plan", "external.toml"],
    ] {
        lab.write("based.toml", "extends = \"pipe\"\n");
        lab.write("listed.toml", LISTED);
        lab.write("external.toml", format!("{TINY}\n[[external]]\nlabel = \"A\"\ncodes = \"pipe\"\n"));
        let said = lab.refused(command);
        assert!(said.contains(" is a pipe"), "{command:?}: {said}");
        for name in ["based.toml", "listed.toml", "external.toml"] {
            std::fs::remove_file(lab.path(name)).unwrap();
        }
    }
    assert!(lab.run(&["lint", "pipe"]).stderr.contains(" is a pipe"));
    let mut plan = lab.command_of("bash", &["-c", &format!("{PROGRAM} plan <(cat {FILE}) --format count")]);
    assert_eq!(String::from_utf8(plan.output().unwrap().stdout).unwrap(), "6\n", "its shell writes to it");
    let note = lab.path("runs/sweeps/tiny/newest");
    std::fs::remove_file(&note).unwrap();
    mkfifo(&note);
    lab.ok(&["table", NAME]);
}

fn mkfifo(path: &std::path::Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A list of images that is a pipe.
const LISTED: &str = r#"dataset = "image_list"
bits = [8]

[data]
files = "pipe"
queries = 2

[[method]]
name = "lsh"
"#;

/// A mistaken list is no reason to fill the memory.
#[test]
fn more_runs_than_anyone_means() {
    let list = |to: usize| (1..=to).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let text = TINY.replace("seeds = [0, 1]", &format!("seeds = [{}]", list(2000)));
    let text = text.replace("bits = [16]", &format!("bits = [{}]", list(16)));
    let lab = Lab::with(&text.replace("\"itq\"\n", &format!("\"itq\"\ngrid = {{ iterations = [{}] }}\n", list(100))));
    let said = lab.refused(&["plan", FILE]);
    assert!(said.starts_with("error: the experiment has more than 1000000 runs: methods × points of grids"), "{said}");
}

/// A file that no sweep can be called after is refused by every command alike.
#[test]
fn a_file_that_names_no_sweep() {
    let lab = Lab::with(TINY);
    lab.write(".toml", TINY);
    for command in ["plan", "sweep", "features", "fetch"] {
        let said = lab
            .refused(&[&[command, ".toml"][..], if command == "features" { &["--out", "out"] } else { &[] }].concat());
        assert!(said.starts_with("error: .toml: `.toml` cannot name a file: it is empty, begins with a dot"), "{said}");
    }
}

/// What follows from the settings and the data is found by the plan, at its line.
#[test]
fn settings_that_are_larger_than_the_data() {
    let methods = r#"dataset = "shapes"
bits = [16]

[data]
items = 100
size = 16

[image]
image_size = 16

[train]
batch_size = 32

[[method]]
name = "nsh"
params = { positives = 32 }

[[method]]
name = "sph"
params = { samples = 82 }

[[method]]
name = "agh_1"
params = { anchors = 16 }

[[method]]
name = "agh_2"
bits = [16, 17, 128]

[[method]]
name = "dgh"
bits = [64]

[[method]]
name = "itq"
bits = [81]

[[method]]
name = "pcah"
bits = [81]

[[method]]
name = "pca_rr"
bits = [81]
"#;
    let lab = Lab::with(methods);
    let said = lab.refused(&["plan", FILE]);
    assert_eq!(lab.refused(&["sweep", FILE]), said);
    assert_snapshot!(said);
    // The largest that the data allow.
    let fits = methods.replace("= 32 }", "= 31 }").replace("= 82 }", "= 81 }").replace("= 16 }", "= 17 }");
    lab.write(
        FILE,
        fits.replace("bits = [16, 17, 128]", "bits = [16]")
            .replace("bits = [64]", "bits = [16]")
            .replace("[81]", "[80]"),
    );
    lab.ok(&["plan", FILE]);
}

/// Everything that a plan knows of its runs is said at once, each at its place.
#[test]
fn runs_that_cannot_work() {
    let lab = Lab::with(
        r#"dataset = "shapes"
bits = [16, 256]

[image]
views = 1

[train]
epochs = 0

[[method]]
name = "itq"

[[method]]
name = "cibhash"
train = { epochs = 5 }

[[method]]
name = "lsh"
label = "LSH on SqueezeNet"
image = { encoder = "squeezenet1_1", weights = "foreign.safetensors" }

[[method]]
name = "lsh"
label = "LSH on MobileNet"
image = { encoder = "mobilenet_v2", weights = "absent.safetensors" }
"#,
    );
    lab.write("foreign.safetensors", foreign_weights());
    let said = lab.refused(&["sweep", FILE]);
    assert!(!lab.path("runs/store").exists(), "nothing has started: {said}");
    assert_snapshot!(said);
}

/// A safetensors file with one tensor of one number, which no network has.
fn foreign_weights() -> Vec<u8> {
    let header = br#"{"foreign":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat()
}

#[test]
fn an_encoder_to_train_that_is_none() {
    assert_snapshot!(sweep_with("\"convnet\"", "\"none\"\nfinetune = true"));
}

/// 17 images are trained on.
#[test]
fn a_batch_of_one_image_for_batch_norms() {
    let text = r#"dataset = "shapes"
bits = [16]

[data]
items = 20
size = 32

[image]
encoder = "resnet18"
image_size = 32
finetune = true

[train]
epochs = 1
batch_size = BATCH

[[method]]
name = "cibhash"
"#;
    let lab = Lab::with(&text.replace("BATCH", "4"));
    let said = lab.refused(&["sweep", FILE]);
    assert!(!lab.path("runs/store").exists(), "nothing has started: {said}");
    assert_snapshot!(said);
}

#[test]
fn a_method_to_describe_that_is_none() {
    assert_snapshot!(Lab::with(TINY).refused(&["methods", "cbihash"]));
}

#[test]
fn a_dataset_to_describe_that_is_none() {
    assert_snapshot!(Lab::with(TINY).refused(&["datasets", "cifar"]));
}

#[test]
fn an_encoder_to_describe_that_is_none() {
    assert_snapshot!(Lab::with(TINY).refused(&["encoders", "bert_bas"]));
}

#[test]
fn no_jobs_at_once() {
    assert_snapshot!(Lab::with(TINY).refused(&["sweep", FILE, "--jobs", "0"]));
}

/// What keeps a data set from being read comes before what could be fetched in its place.
#[test]
fn a_dataset_that_is_there_in_part_or_in_another_form() {
    let shapes = "dataset = \"shapes\"";
    let text = TINY.replace(shapes, "dataset = \"cifar10\"").replace("[data]\nitems = 300\nsize = 16\n", "");
    for (there, expected) in [
        ("cifar10/cifar-10-batches-py/data_batch_1", "mine/cifar10/cifar-10-batches-py is not read"),
        ("cifar10/cifar-10-python.tar.gz", "mine/cifar10/cifar-10-python.tar.gz is not read"),
        ("cifar10/cifar-10-batches-bin/data_batch_1.bin", "looked at mine/cifar10/cifar-10-batches-bin/test_batch.bin"),
    ] {
        let lab = Lab::with(&text);
        std::fs::create_dir_all(lab.path(&format!("mine/{there}")).parent().unwrap()).unwrap();
        lab.write(&format!("mine/{there}"), "not read");
        let said = lab.refused(&["sweep", FILE, "--data-dir", "mine"]);
        assert!(said.contains(expected) && said.contains("`hashlab fetch tiny.toml`"), "{there}: {said}");
        assert_eq!(lab.refused(&["features", FILE, "--data-dir", "mine", "--out", "out"]), said);
        assert!(!lab.path("runs/store").exists(), "nothing has started: {said}");
    }
}

/// Rows that look alike are the same row.
#[test]
fn labels_that_nobody_can_tell_apart() {
    for label in ["LSH ", " LSH", "LSH\\u200b", "LS\\u00adH", "LSH\\u2060", "\\ufeffLSH"] {
        let said = sweep_with("name = \"itq\"", &format!("name = \"itq\"\nlabel = \"{label}\""));
        assert!(said.starts_with("error: `label` "), "{label}: {said}");
    }
}
