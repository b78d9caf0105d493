//! Variables of the environment: those that stand for flags, and those that nothing reads.

use std::collections::BTreeSet;
use std::ffi::{OsStr as StdOsStr, OsString};

use clap::builder::{OsStr, Resettable};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, CommandFactory as _, Error, FromArgMatches as _};
use hashlab_data::DATA_VARIABLE;
use hashlab_settings::nearest;
use hashlab_sweep::PREFIX;

use crate::args::Args;

/// What the names of all variables begin with.
const OURS: &str = "HASHLAB_";

/// Variables that stand for no flag.
const OTHERS: [&str; 11] = [
    DATA_VARIABLE,
    "HASHLAB_LOCKS",
    "HASHLAB_LOG",
    "HASHLAB_CPU",
    "HASHLAB_CUDA_OFF",
    "HASHLAB_CUDNN",
    "HASHLAB_GOLDEN",
    "HASHLAB_TEST_DEVICE",
    "HASHLAB_PACK_FEATURES",
    // Those that a sweep sets for its own processes.
    "HASHLAB_PARENT",
    "HASHLAB_RETRY",
];

/// Variables of the program's build, which cargo sets where it runs the program, too.
const OF_BUILD: [&str; 5] = ["HASHLAB_COMMIT", "HASHLAB_CORE", "HASHLAB_DIFF", "HASHLAB_LOCK", "HASHLAB_TOOLCHAIN"];

/// A variable that cargo sets for what it runs.
const CARGO: &str = "CARGO_MANIFEST_DIR";

/// Beginnings of variables with further names: settings of experiments, and those of benchmarks.
const BEGINNINGS: [&str; 2] = [PREFIX, "HASHLAB_BENCH_"];

/// Reads the arguments and the variables that stand for flags.
///
/// # Errors
/// clap's; a value that comes from a variable is blamed on the variable, not on a flag that nobody gave.
pub(crate) fn parsed(words: impl IntoIterator<Item = OsString>) -> Result<Args, Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let empty = |name: &StdOsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    // Scripts clear a variable by `NAME=`.
    let command = without(Args::command(), &empty);
    let error = match command.clone().try_get_matches_from(&words) {
        Ok(matches) => return Args::from_arg_matches(&matches),
        Err(error) => error,
    };
    match variables(&command).into_iter().find(|name| is_at_fault(&error, &command, name, &words)) {
        Some(name) => Err(blamed(error, &name)),
        None => Err(error),
    }
}

/// Whether the error is gone without a variable.
fn is_at_fault(error: &Error, command: &Command, name: &StdOsStr, words: &[OsString]) -> bool {
    let others = without(command.clone(), &|other: &StdOsStr| other == name).try_get_matches_from(words);
    error.get(ContextKind::InvalidArg).is_some() && others.err().is_none_or(|other| !same(error, &other))
}

fn same(one: &Error, other: &Error) -> bool {
    let of = |error: &Error| [ContextKind::InvalidArg, ContextKind::InvalidValue].map(|kind| error.get(kind).cloned());
    one.kind() == other.kind() && of(one) == of(other)
}

fn blamed(mut error: Error, name: &StdOsStr) -> Error {
    error.insert(ContextKind::InvalidArg, ContextValue::String(name.to_string_lossy().into_owned()));
    error
}

/// The variables that stand for flags of any command.
fn variables(command: &Command) -> BTreeSet<OsString> {
    let own = command.get_arguments().filter_map(Arg::get_env).map(StdOsStr::to_owned);
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}

/// The command without the variables that are `left_out`.
fn without(command: Command, left_out: &dyn Fn(&StdOsStr) -> bool) -> Command {
    let reset = |arg: Arg| match arg.get_env() {
        Some(name) if left_out(name) => arg.env(Resettable::<OsStr>::Reset),
        _ => arg,
    };
    command.mut_args(reset).mut_subcommands(|sub| without(sub, left_out))
}

/// What is said of variables that are named like ours and that nothing reads.
pub(crate) fn unknown() -> Vec<String> {
    let flags = variables(&Args::command());
    let known: Vec<String> = flags.into_iter().filter_map(|name| name.into_string().ok()).collect();
    let known: BTreeSet<&str> = known.iter().map(String::as_str).chain(OTHERS).collect();
    let by_cargo = std::env::var_os(CARGO).is_some();
    let is_read = |name: &StdOsStr| {
        // A name that is no text is none of a setting's.
        let beginning = |name: &str| BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
        let of_build = |name: &str| by_cargo && OF_BUILD.contains(&name);
        name.to_str().is_some_and(|name| known.contains(name) || beginning(name) || of_build(name))
    };
    let set: BTreeSet<OsString> = std::env::vars_os().map(|(name, _)| name).collect();
    let unread = set.iter().filter(|name| !is_read(name.as_os_str())).map(|name| name.to_string_lossy());
    unread.filter(|name| name.starts_with(OURS)).map(|name| in_words(&name, &known)).collect()
}

fn in_words(name: &str, known: &BTreeSet<&str>) -> String {
    // What all names share makes no two of them alike.
    let own = |name: &str| name.strip_prefix(OURS).unwrap_or(name).to_owned();
    let names: Vec<String> = known.iter().map(|known| own(known)).collect();
    let help = match nearest(&own(name), names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {OURS}{near}?"),
        None => "the flags in `hashlab --help` name their variables; HASHLAB_SET_… override an experiment".to_owned(),
    };
    format!("nothing reads the variable {name}\nhelp: {help}")
}
