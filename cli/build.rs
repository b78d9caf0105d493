//! Records the commit that the program is built from, and a digest of the changes since; `unknown` outside of a checkout.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// What a change of reruns this script: a commit, and the sources of the program.
const WATCHED: [&str; 7] =
    ["../.git/HEAD", "../.git/index", "../core", "../methods", "../datasets", "../Cargo.lock", "src"];

fn main() {
    for path in WATCHED {
        println!("cargo:rerun-if-changed={path}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let diff = git(&["diff", "HEAD", "--", "../core", "../methods", "../datasets", "../cli", "../Cargo.lock"]);
    let digest = diff.filter(|diff| !diff.is_empty()).and_then(|diff| hash(&diff)).unwrap_or_default();
    let suffix = if digest.is_empty() { "" } else { "-dirty" };
    let commit = commit.map_or("unknown".to_owned(), |commit| commit + suffix);
    println!("cargo:rustc-env=HASHLAB_COMMIT={commit}");
    println!("cargo:rustc-env=HASHLAB_DIFF={digest}");
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Twelve digits of git's digest of a text.
fn hash(text: &str) -> Option<String> {
    let mut child = Command::new("git")
        .args(["hash-object", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(text.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().chars().take(12).collect())
}
