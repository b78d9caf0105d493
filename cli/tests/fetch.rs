//! `hashlab fetch` as users start it: what it lists, and what it says and returns where there is no network.

use std::path::Path;
use std::process::Command;

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program in `folder`. Port 1 refuses connections, so that no test leaves the machine.
fn hashlab(folder: &Path, args: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashlab"));
    for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    command.current_dir(folder).args(args).env("HF_ENDPOINT", "http://127.0.0.1:1").env_remove("HASHLAB_DATA");
    command.env("HF_HOME", folder.join("huggingface")).env_remove("HF_HUB_CACHE").env_remove("HF_HUB_OFFLINE");
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[track_caller]
fn assert_tells(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` in {text}");
    }
}

#[test]
fn without_a_name_everything_is_listed_with_size_and_license() {
    let folder = tempfile::tempdir().unwrap();
    let listed = hashlab(folder.path(), &["fetch", "--data-dir", "here"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
    let parts =
        ["cifar10", "143.6 MB", "mobilenet_v2", "14.2 MB", "license: Apache-2.0", "downloads into here", "bert_base"];
    assert_tells(&listed.stdout, &parts);
}

#[test]
fn without_a_network_other_means_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let ended = hashlab(folder.path(), &["fetch", "mobilenet_v2"]);
    assert_eq!(ended.code, Some(2));
    let parts = ["refused", "HTTPS_PROXY", "HF_ENDPOINT", "https://huggingface.co/timm/", "./data/weights/"];
    assert_tells(&ended.stderr, &parts);
}

#[test]
fn a_mistaken_name_stops_before_anything_is_downloaded() {
    let folder = tempfile::tempdir().unwrap();
    let ended = hashlab(folder.path(), &["fetch", "cifar10", "mobilenet"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert_tells(&ended.stderr, &["`mobilenet`", "can be fetched: cifar10, cifar100"]);
}

#[test]
fn who_misses_something_is_told_how_to_fetch_it() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = |weights: &str| {
        format!(
            "dataset = \"shapes\"\nbits = [16]\nseeds = [0]\n[image]\nencoder = \"mobilenet_v2\"\n{weights}\n\
             [[method]]\nname = \"lsh\"\n"
        )
    };
    let refused = |weights: &str| {
        std::fs::write(folder.path().join("e.toml"), experiment(weights)).unwrap();
        let ended = hashlab(folder.path(), &["plan", "e.toml"]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        ended.stderr
    };
    let file = "model.safetensors of https://huggingface.co/timm/mobilenetv2_100.ra_in1k, 14.2 MB, license: Apache-2.0";
    for of_the_encoder in ["", "weights = \"mobilenetv2_100.ra_in1k.safetensors\""] {
        assert_tells(
            &refused(of_the_encoder),
            &["the weights of encoder `mobilenet_v2`", file, "`hashlab fetch e.toml`"],
        );
    }
    let other = refused("weights = \"absent.safetensors\"");
    assert_tells(&other, &["`hashlab fetch mobilenet_v2`", "mobilenetv2_100.ra_in1k.safetensors"]);
    let wrong = refused("weights = \"hf://timm\"");
    assert_tells(&wrong, &["`hf://timm` names no repository", "e.toml:"]);
    let described = hashlab(folder.path(), &["datasets", "cifar10"]);
    assert_tells(&described.stdout, &["`hashlab fetch cifar10`"]);
}
