//! A folder to work in, and the program started in it.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use hashlab_store::{RunDir, RunId, Store};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hashlab");

/// The name under which every experiment is written.
pub(crate) const FILE: &str = "tiny.toml";

/// The sweep of [`FILE`].
pub(crate) const NAME: &str = "tiny";

/// All methods on few images; done within a second.
pub(crate) const TINY: &str = r#"dataset = "shapes"
bits = [16]
seeds = [0, 1]

[data]
items = 300
size = 16

[image]
encoder = "convnet"
image_size = 16
views = 4

[train]
epochs = 8
batch_size = 32
validate_every = 4

[[method]]
name = "lsh"

[[method]]
name = "itq"

[[method]]
name = "cibhash"
"#;

/// Features that are all alike, to which spectral hashing cannot be fitted. Nothing but the run finds that out.
pub(crate) const ALIKE: &str = r#"dataset = "features"
bits = [16]
seeds = [0, 1]

[data]
dir = "alike"
queries = 8

[[method]]
name = "lsh"

[[method]]
name = "sh"

[[method]]
name = "sh"
label = "SH 8"
bits = [8]

[[method]]
name = "lsh"
label = "LSH 8"
bits = [8]
"#;

/// What the runs of SH in [`ALIKE`] fail with.
pub(crate) const ALIKE_ERROR: &str = "all training items are equal: spectral hashing needs items that differ";

/// After this long, what is waited for will not happen, however busy the machine is.
const DEADLINE: Duration = Duration::from_secs(120);

/// Between two looks at what a sweep has done.
const LOOK: Duration = Duration::from_millis(5);

/// A text without the lists of what is known, which grow with every method, encoder and data set.
pub(crate) fn unlisted(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once("known: ") {
        Some((start, _)) => format!("{start}known: [all of them]"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A folder with an experiment, removed when dropped. Every command runs in it, so that paths in messages are short.
pub(crate) struct Lab(TempDir);

/// What a command ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` if a signal killed the process.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Lab {
    /// Makes a folder that holds `experiment` as [`FILE`].
    pub(crate) fn with(experiment: &str) -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        lab.write(FILE, experiment);
        lab
    }

    /// Makes a folder with an experiment on the features of [`ALIKE`].
    pub(crate) fn alike(experiment: &str) -> Self {
        let lab = Self::with(experiment);
        lab.write_alike();
        lab
    }

    /// Writes the features of [`ALIKE`].
    pub(crate) fn write_alike(&self) {
        fs::create_dir(self.path("alike")).unwrap();
        Tensor::full(1f32, (40, 16), &Device::Cpu).unwrap().write_npy(self.path("alike/features.npy")).unwrap();
        let labels = Tensor::from_vec((0..40i64).map(|item| item % 2).collect(), 40, &Device::Cpu).unwrap();
        labels.write_npy(self.path("alike/labels.npy")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The program with arguments, in a plain environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_of(PROGRAM, args)
    }

    /// Another program with arguments, in the same environment.
    pub(crate) fn command_of(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HASHLAB_")) {
            command.env_remove(name);
        }
        command.env("COLUMNS", "100").env_remove("RAYON_NUM_THREADS");
        // No test leaves the machine or reads what its user has downloaded.
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", self.path("huggingface"));
        command.env_remove("HF_HUB_CACHE").env_remove("HF_TOKEN").env_remove("HF_TOKEN_PATH");
        command.args(args).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    /// Runs a command that succeeds; returns what it prints.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:#?}");
        ended.stdout
    }

    /// Runs a command that refuses its input; returns what it says.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        refused(self.command(args))
    }

    pub(crate) fn start(&self, args: &[&str]) -> Started {
        Started::of(self.command(args))
    }

    /// The runs of the plan, in its order.
    pub(crate) fn runs(&self) -> Vec<RunDir> {
        let store = Store::open(self.path("runs"));
        self.ids().into_iter().map(|id| store.run(&RunId(id)).unwrap()).collect()
    }

    /// The ids of the plan's runs, in its order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let jobs = self.ok(&["plan", FILE, "--format", "jsonl"]);
        let jobs = jobs.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let runs = jobs.filter(|job| job["kind"] == "run");
        runs.map(|run| run["job"].as_str().unwrap().to_owned()).collect()
    }

    /// The plan's runs of a method.
    pub(crate) fn runs_of(&self, method: &str) -> Vec<RunDir> {
        self.runs().into_iter().filter(|run| run.id().0.starts_with(method)).collect()
    }

    /// The digests of the plans of [`NAME`], in order.
    pub(crate) fn plans(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path(&format!("runs/sweeps/{NAME}"))).unwrap().map(Result::unwrap);
        let folders = entries.filter(|entry| entry.path().is_dir());
        let mut plans: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
        plans.sort();
        plans
    }

    /// The digest of the plan of [`NAME`] that was started last.
    pub(crate) fn newest(&self) -> String {
        self.read(&format!("runs/sweeps/{NAME}/newest")).trim().to_owned()
    }

    /// How many attempts each run took.
    pub(crate) fn attempts(&self) -> Vec<usize> {
        self.runs().iter().map(|run| run.attempts().len()).collect()
    }
}

/// Runs a command that refuses its input; returns what it says.
pub(crate) fn refused(mut command: Command) -> String {
    let ended = Ended::from(command.output().unwrap());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:#?}");
    ended.stderr
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A process under way; killed if dropped before its end.
pub(crate) struct Started(Option<Child>);

impl Started {
    pub(crate) fn of(mut command: Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it has not ended")
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&mut self) {
        kill_process(Pid::from_child(self.child()), Signal::INT).unwrap();
    }

    /// Kills it, which must come before its end.
    pub(crate) fn kill(mut self) {
        self.child().kill().unwrap();
        let ended = self.end();
        assert_eq!(ended.code, None, "it ended before it was killed: {ended:#?}");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let child = self.0.take().expect("it has not ended");
        child.wait_with_output().unwrap().into()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a signal to the process that executes a run.
pub(crate) fn signal_worker(run: &RunDir, signal: Signal) {
    let pid = run.attempts().last().expect("an attempt has begun").pid;
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

/// Looks until `look` is content.
pub(crate) fn until(what: &str, mut look: impl FnMut() -> bool) {
    let started = Instant::now();
    while !look() {
        assert!(started.elapsed() < DEADLINE, "never came: {what}");
        thread::sleep(LOOK);
    }
}

/// The files under `folder` with a name, in order.
pub(crate) fn files_named(folder: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files_named(&path, name) } else { vec![path] }
        })
        .filter(|path| path.file_name().is_some_and(|found| found == name))
        .collect();
    found.sort();
    found
}
