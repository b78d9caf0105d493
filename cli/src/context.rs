//! What every subcommand works with: the workspace, and how experiments are read from arguments.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use hashlab_app::shell::ShellCommand;
use hashlab_app::{Dirs, ExperimentText, PlannedSweep, Registry, Workspace};
use hashlab_data::{DATA_VARIABLE, DataDirs, special};
use hashlab_exec::progress::Terminal;
use hashlab_store::ascii;
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
        hashlab_kernels::instructions::cap().map_err(bad_input)?;
        let dirs = self.dirs();
        let variable = std::env::var_os(DATA_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        check_directory("--runs", "HASHLAB_RUNS", Some(&dirs.runs))?;
        check_directory("--cache-dir", "HASHLAB_CACHE_DIR", dirs.cache_dir.as_deref())?;
        check_directory("--data-dir", "", dirs.data_dir.as_deref())?;
        check_directory("", DATA_VARIABLE, variable.as_deref())?;
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
        words.extend(words_of(args));
        ShellCommand { env: overriding_env().into_iter().chain(of_execution()).collect(), words }
    }
}

/// The variables that say how runs are executed, which all tasks of a sweep need alike.
fn of_execution() -> impl Iterator<Item = (String, String)> {
    let set = |name: &str| Some((name.to_owned(), std::env::var(name).ok().filter(|value| !value.is_empty())?));
    ["HASHLAB_CPU", "HASHLAB_DEVICE", "HASHLAB_LOCKS"].into_iter().filter_map(set)
}

/// Refuses what is in the place of a directory, which a flag or a variable names.
fn check_directory(flag: &str, variable: &str, path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let named = named_by(flag, variable, path);
    check_text(&named, path)?;
    if path.is_dir() || !path.exists() {
        return Ok(());
    }
    let what = special(path).unwrap_or("a file");
    Err(bad_input(format!("`{named}` names {what}\nhelp: name a directory, which may be new")))
}

/// A path behind the flag, or the variable, that named it.
pub(crate) fn named_by(flag: &str, variable: &str, path: &Path) -> String {
    let by_variable = flag.is_empty() || std::env::var_os(variable).is_some_and(|named| named == path.as_os_str());
    if by_variable { format!("{variable}={}", path.display()) } else { format!("{flag} {}", path.display()) }
}

/// Refuses a path that is no text: commands, plans and scripts of a cluster name it.
fn check_text(named: &str, path: &Path) -> Result<()> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(bad_input(format!("`{named}` is not UTF-8\nhelp: rename it, or name it through a link (ln -s)"))),
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
            Some(path) => {
                check_text(&path.display().to_string(), path)?;
                (path.clone(), read_file(path).map_err(|error| bad_input(error.to_string()))?)
            }
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

/// Whether the terminal behind standard output shows ASCII alone.
pub(crate) fn ascii_on_stdout() -> bool {
    Terminal::stdout().ascii
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    print_more(text).map(drop)
}

/// The text as the terminal behind a stream shows it.
fn shown(text: &str, terminal: Terminal) -> Cow<'_, str> {
    if terminal.ascii { ascii(text) } else { Cow::Borrowed(text) }
}

/// The text as standard error shows it.
pub(crate) fn shown_on_stderr(text: &str) -> Cow<'_, str> {
    shown(text, Terminal::stderr())
}

/// Prints to standard output; returns whether anyone still reads it.
pub(crate) fn print_more(text: &str) -> Result<bool> {
    use std::io::Write as _;
    let text = shown(text, Terminal::stdout());
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Prints to standard error what is no part of a command's output.
pub(crate) fn say(text: &str) -> Result<()> {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(shown_on_stderr(text).as_bytes());
    Ok(())
}

/// Prints a note to standard error.
pub(crate) fn note(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "note: {}", shown_on_stderr(text));
}

/// Prints to standard error; progress or a warning that nobody can read stops nothing.
pub(crate) fn warn(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "warning: {}", shown_on_stderr(text));
}
