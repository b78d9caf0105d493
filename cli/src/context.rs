//! What every subcommand works with: the workspace, and how experiments are read from arguments.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use hashlab_app::shell::ShellCommand;
use hashlab_app::{Dirs, ExperimentText, PlannedSweep, Registry, Workspace};
use hashlab_data::DataDirs;
use hashlab_exec::progress::Terminal;
use hashlab_sweep::{Experiment, Overrides, PREFIX, read_file};

use crate::args::{DirArgs, ExperimentArgs};
use crate::exit::bad_input;

/// The experiment that `hashlab sweep` runs without a file.
pub(crate) const QUICKSTART: (&str, &str) = ("quickstart.toml", include_str!("../../experiments/quickstart.toml"));

pub(crate) struct Context {
    pub(crate) workspace: Workspace,
}

impl Context {
    pub(crate) fn new(registry: Registry, args: DirArgs) -> Self {
        let mut dirs = Dirs {
            runs: args.runs,
            data: DataDirs::discover(args.data_dir.clone()),
            data_dir: args.data_dir,
            cache_dir: args.cache_dir,
            cache_limit: args.cache_limit,
        };
        dirs.data = dirs.data.clone().with_notes(dirs.cache_path().join("files"));
        Self {
            workspace: Workspace { registry, dirs, build: crate::BUILD, read_codes: hashlab_datasets::array::codes },
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.workspace.registry
    }

    pub(crate) fn dirs(&self) -> &Dirs {
        &self.workspace.dirs
    }

    /// Checks what no command could work with.
    pub(crate) fn check(&self) -> Result<()> {
        hashlab_kernels::instructions::widest().map_err(bad_input)?;
        let runs = &self.dirs().runs;
        if runs.exists() && !runs.is_dir() {
            let runs = runs.display();
            return Err(bad_input(format!("`--runs {runs}` names a file\nhelp: name a directory, which may be new")));
        }
        hashlab_store::check_locks().map_err(bad_input)
    }

    /// Reads, checks and expands an experiment file with its overrides.
    pub(crate) fn plan(&self, args: &ExperimentArgs) -> Result<PlannedSweep> {
        let file = File::read(args)?;
        self.workspace.plan(file.under(args, overriding_env()))
    }

    /// Reads and checks an experiment file with its overrides.
    pub(crate) fn load(&self, args: &ExperimentArgs) -> Result<Experiment> {
        let file = File::read(args)?;
        self.workspace.load(&file.under(args, overriding_env()))
    }

    /// As [`Context::plan`], whatever the environment says.
    pub(crate) fn plan_alone(&self, args: &ExperimentArgs) -> Result<PlannedSweep> {
        let file = File::read(args)?;
        self.workspace.plan(file.under(args, Vec::new()))
    }

    /// As [`Context::load`], whatever the environment says.
    pub(crate) fn load_alone(&self, args: &ExperimentArgs) -> Result<Experiment> {
        let file = File::read(args)?;
        self.workspace.load(&file.under(args, Vec::new()))
    }

    /// The beginning of a command that executes runs of an experiment, in the same directories.
    pub(crate) fn exec_command(&self, args: &ExperimentArgs) -> ShellCommand {
        let mut words = vec!["hashlab".to_owned()];
        let dirs = self.dirs();
        let mut option = |name: &str, value: Option<String>| {
            words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        option("--runs", Some(dirs.runs.display().to_string()));
        option("--data-dir", dirs.data_dir.as_ref().map(|dir| dir.display().to_string()));
        option("--cache-dir", dirs.cache_dir.as_ref().map(|dir| dir.display().to_string()));
        option("--cache-limit", dirs.cache_limit.map(|bytes| bytes.to_string()));
        words.push("exec".to_owned());
        words.extend(args.file.is_none().then(|| QUICKSTART.0.to_owned()));
        words.extend(words_of(args));
        ShellCommand { env: overriding_env(), words }
    }
}

/// An experiment file as it was read.
struct File {
    origin: PathBuf,
    text: String,
}

impl File {
    fn read(args: &ExperimentArgs) -> Result<Self> {
        let (origin, text) = match &args.file {
            None => (PathBuf::from(QUICKSTART.0), QUICKSTART.1.to_owned()),
            Some(path) => (path.clone(), read_file(path).map_err(|error| bad_input(error.to_string()))?),
        };
        Ok(Self { origin, text })
    }

    /// The experiment under variables and flags.
    fn under(&self, args: &ExperimentArgs, env: Vec<(String, String)>) -> ExperimentText<'_> {
        ExperimentText {
            text: self.text.clone(),
            origin: &self.origin,
            overrides: Overrides { env, set: args.set.clone() },
            command: reproduction(args),
            color: color_on_stderr(),
        }
    }
}

/// The command that makes the same plan: the file, and what overrides it.
fn reproduction(args: &ExperimentArgs) -> String {
    let words = ["hashlab", "sweep"].map(str::to_owned).into_iter().chain(words_of(args)).collect();
    ShellCommand { env: overriding_env(), words }.to_string()
}

/// The arguments that name an experiment.
fn words_of(args: &ExperimentArgs) -> Vec<String> {
    // A name that begins like an option is a path with `./`.
    let path =
        |path: &PathBuf| Path::new(if path.as_os_str().as_bytes().starts_with(b"-") { "." } else { "" }).join(path);
    let file = args.file.iter().map(|file| path(file).display().to_string());
    file.chain(args.set.iter().flat_map(|assignment| ["--set".to_owned(), assignment.clone()])).collect()
}

/// The variables that override settings of experiments.
fn overriding_env() -> Vec<(String, String)> {
    let readable =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned()));
    let mut found: Vec<_> =
        std::env::vars_os().filter_map(readable).filter(|(name, _)| name.starts_with(PREFIX)).collect();
    found.sort();
    found
}

/// Whether diagnostics may use color.
pub(crate) fn color_on_stderr() -> bool {
    Terminal::stderr().colors
}

/// Whether tables may use bold and underline.
pub(crate) fn color_on_stdout() -> bool {
    Terminal::stdout().colors
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    print_more(text).map(drop)
}

/// Prints to standard output; returns whether anyone still reads it.
pub(crate) fn print_more(text: &str) -> Result<bool> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Prints to standard error what is no part of a command's output.
pub(crate) fn say(text: &str) -> Result<()> {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(text.as_bytes());
    Ok(())
}

/// Prints a note to standard error.
pub(crate) fn note(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// Prints to standard error; progress or a warning that nobody can read stops nothing.
pub(crate) fn warn(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}
