//! Sweeps that fetch what they need, from a hub on this machine.

use std::fs;
use std::sync::Arc;

use crate::lab::{Ended, FILE, Lab};
use crate::local::{Fault, LocalHub, REVISION, TOKEN, proxied};
use crate::texts::{CAPTIONS, WORDS, weights};

/// The experiment on captions, with weights and tokenizer on the hub.
fn experiment() -> String {
    CAPTIONS.replace(
        "weights = \"small/model.safetensors\"",
        "weights = \"hf://org/small/model.safetensors\"\ntokenizer = \"hf://org/small/vocab.txt\"",
    )
}

/// A hub with the small network and its tokenizer.
fn hub(fault: Fault) -> LocalHub {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    candle_core::safetensors::save(&weights(), &file).unwrap();
    let weights = fs::read(file).unwrap();
    let files = move |path: &str| {
        let (revision, file) = path.strip_prefix("/org/small/resolve/")?.split_once('/')?;
        match file {
            _ if ![REVISION, "main"].contains(&revision) => None,
            "model.safetensors" => Some(weights.clone()),
            "vocab.txt" => Some(WORDS.into()),
            _ => None,
        }
    };
    LocalHub::with_files(fault, Arc::new(files))
}

/// Runs the program with access to a hub.
fn online(lab: &Lab, hub: &LocalHub, args: &[&str]) -> Ended {
    let mut command = lab.command(args);
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", &hub.endpoint);
    command.output().unwrap().into()
}

#[test]
fn a_sweep_says_what_it_fetches_and_keeps_its_digest() {
    if proxied() {
        return;
    }
    let (lab, hub) = (Lab::with(&experiment()), hub(Fault::None));
    let refused = lab.refused(&["sweep", FILE]);
    assert!(refused.contains("files are not here that the experiment needs"), "{refused}");
    assert!(refused.contains("the weights of encoder `minilm`: model.safetensors of https://huggingface.co/org/small"));
    assert!(refused.ends_with("help: `hashlab fetch tiny.toml` downloads them\n"), "{refused}");
    let swept = online(&lab, &hub, &["sweep", FILE]);
    assert_eq!(swept.code, Some(0), "{swept:#?}");
    for said in
        ["fetching 2 files", "model.safetensors", "vocab.txt", "license: see there", "tiny.lock: hf://org/small@main/"]
    {
        assert!(swept.stderr.contains(said), "`{said}` in {}", swept.stderr);
    }
    assert!(!swept.stdout.contains("fetching"), "the output is the table: {}", swept.stdout);
    assert!(lab.read("tiny.lock").contains(REVISION));
    let again = lab.run(&["sweep", FILE, "--no-times"]);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{again:#?}");
    // What the lock file names is what is fetched, at the commit of the first time.
    fs::remove_dir_all(lab.path("data")).unwrap();
    let offline = online(&lab, &hub, &["sweep", FILE, "--offline"]);
    assert!(offline.code == Some(2) && offline.stderr.contains("`hashlab fetch tiny.toml`"), "{offline:#?}");
    let fetched = online(&lab, &hub, &["fetch", FILE]);
    assert_eq!(fetched.code, Some(0), "{fetched:#?}");
    let last = hub.requests().last().unwrap().clone();
    assert!(last.starts_with(&format!("store /org/small/resolve/{REVISION}/")), "{last}");
    assert_eq!(lab.run(&["sweep", FILE, "--no-times"]).stdout, again.stdout);
}

#[test]
fn a_file_gets_all_that_it_needs_for_machines_without_network() {
    if proxied() {
        return;
    }
    let (lab, hub) = (Lab::with(&experiment()), hub(Fault::Token("401 Unauthorized")));
    let refused = online(&lab, &hub, &["fetch", FILE]);
    assert!(refused.code == Some(2) && refused.stderr.contains("HF_TOKEN"), "{refused:#?}");
    let mut command = lab.command(&["fetch", FILE]);
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", &hub.endpoint).env("HF_TOKEN", TOKEN);
    let fetched: Ended = command.output().unwrap().into();
    assert_eq!(fetched.code, Some(0), "{fetched:#?}");
    assert!(fetched.stdout.ends_with("is here; `hashlab sweep tiny.toml` runs it\n"), "{}", fetched.stdout);
    assert!(!format!("{fetched:?}{refused:?}").contains(TOKEN));
    assert!(lab.ok(&["plan", FILE]).contains("missing"));
}

#[test]
fn a_file_of_pytorch_is_refused_with_its_conversion() {
    let lab = Lab::with(&CAPTIONS.replace("small/model.safetensors", "pytorch_model.bin"));
    lab.write("pytorch_model.bin", b"PK\x03\x04 archive/data.pkl");
    let refused = lab.refused(&["plan", FILE]);
    for part in ["this is a PyTorch file", "save_file", "weights_only=True", "tiny.toml:"] {
        assert!(refused.contains(part), "`{part}` in {refused}");
    }
}
