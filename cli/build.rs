//! Records the sources that the program is built from, and the compiler: the commit and, beside it, digests of the changes
//! since, of `core` and of Cargo.lock. What is not known, as outside of a checkout, is not set.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A change of one of these runs this script again: a commit, and the sources of the program.
const WATCHED: [&str; 9] = [
    "../.git/HEAD",
    "../.git/index",
    "../.cargo",
    "../core",
    "../methods",
    "../datasets",
    "../Cargo.lock",
    "../Cargo.toml",
    "src",
];

/// Sources of the program.
const PROGRAM: [&str; 7] =
    ["../.cargo", "../core", "../methods", "../datasets", "../cli", "../Cargo.lock", "../Cargo.toml"];

/// Sources that the results of every method depend on: core without its tests and benchmarks.
const CORE: [&str; 4] =
    ["../core", "../Cargo.lock", ":(exclude,glob)../core/*/tests/**", ":(exclude,glob)../core/*/benches/**"];

fn main() {
    for path in WATCHED {
        println!("cargo:rerun-if-changed={path}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"], &[]);
    let changes = changes(&PROGRAM).filter(|changes| !changes.is_empty());
    let suffix = if changes.is_some() { "-dirty" } else { "" };
    println!("cargo:rustc-env=HASHLAB_COMMIT={}", commit.map_or("unknown".to_owned(), |commit| commit + suffix));
    set("HASHLAB_DIFF", changes);
    set("HASHLAB_CORE", contents(&CORE));
    set("HASHLAB_LOCK", std::fs::read_to_string("../Cargo.lock").ok());
    if let Some(compiler) = compiler() {
        println!("cargo:rustc-env=HASHLAB_TOOLCHAIN={compiler}");
    }
}

/// The compiler, and what it compiles for.
fn compiler() -> Option<String> {
    let [compiler, target] = ["RUSTC", "TARGET"].map(std::env::var);
    let output =
        Command::new(compiler.ok()?).arg("--version").output().ok().filter(|output| output.status.success())?;
    Some(format!("{} {}", String::from_utf8_lossy(&output.stdout).trim(), target.ok()?))
}

/// Sets a variable of the program to the digest of a text.
fn set(variable: &str, text: Option<String>) {
    if let Some(digest) = text.and_then(|text| digest(&text)) {
        println!("cargo:rustc-env={variable}={digest}");
    }
}

/// The names and digests of files as they are now, so that a commit of them changes nothing.
fn contents(paths: &[&str]) -> Option<String> {
    let listed = git(&["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"], paths)?;
    let files: Vec<&str> = listed.lines().filter(|file| Path::new(file).is_file()).collect();
    Some(files.join("\n") + &git(&["hash-object"], &files)?)
}

/// The changes since the last commit, with the digests of files that git does not know yet.
fn changes(paths: &[&str]) -> Option<String> {
    let changed = git(&["diff", "HEAD"], paths)?;
    let unknown = git(&["ls-files", "--others", "--exclude-standard"], paths)?;
    let files: Vec<&str> = unknown.lines().collect();
    let digests = if files.is_empty() { String::new() } else { git(&["hash-object"], &files)? };
    Some(changed + &unknown + &digests)
}

fn git(args: &[&str], paths: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).arg("--").args(paths).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Twelve digits of git's digest of a text.
fn digest(text: &str) -> Option<String> {
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
