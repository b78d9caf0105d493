//! Completion in shells: runs, sweeps, methods, data sets, encoders and keys of settings, beside commands and options.
//!
//! `source <(COMPLETE=bash hashlab)` in a shell's start file turns it on; zsh, fish and elvish have lines of their own.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Command;
use clap_complete::CompletionCandidate;
use clap_complete::engine::ArgValueCompleter;
use hashlab_app::Registry;
use hashlab_data::DataDirs;
use hashlab_settings::Schema;
use hashlab_store::Store;

/// The most runs that are proposed; more digits choose among further ones.
const MOST: usize = 200;

/// Gives the arguments of all commands what their values may be.
pub(crate) fn completing(command: Command, registry: Registry) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let of_command = |command: Command, name: &String| {
        command.mut_subcommand(name, |sub| {
            let sub = completing(sub, registry);
            let command = sub.get_name().to_owned();
            sub.mut_args(move |arg| match completer(&command, arg.get_id().as_str(), registry) {
                Some(completer) => arg.add(completer),
                None => arg,
            })
        })
    };
    names.iter().fold(command, of_command)
}

/// What the values of an argument may be, by its name and that of its command.
fn completer(command: &str, argument: &str, registry: Registry) -> Option<ArgValueCompleter> {
    Some(match (command, argument) {
        ("index", "run") | ("open" | "reproduce", "target") => {
            ArgValueCompleter::new(|start: &OsStr| sweeps(start).into_iter().chain(runs(start)).collect::<Vec<_>>())
        }
        (_, "run" | "names" | "first" | "second") => ArgValueCompleter::new(runs),
        (_, "sweep" | "sweeps") => ArgValueCompleter::new(sweeps),
        (_, "set") => ArgValueCompleter::new(move |start: &OsStr| keys(&registry, start)),
        (_, "rerun") | ("methods", "name") => ArgValueCompleter::new(move |start: &OsStr| {
            proposed(start, registry.methods.iter().map(|method| method.info.name))
        }),
        ("encoders", "name") => ArgValueCompleter::new(move |start: &OsStr| {
            proposed(start, registry.encoders.iter().map(|encoder| encoder.name()))
        }),
        _ => return None,
    })
}

/// The store that the line means: by `--runs`, by HASHLAB_RUNS, or `runs`.
fn store() -> Store {
    let variable = std::env::var_os("HASHLAB_RUNS").filter(|path| !path.is_empty());
    let named = named_runs(std::env::args_os()).or_else(|| variable.map(PathBuf::from));
    Store::open(named.unwrap_or_else(|| PathBuf::from("runs")))
}

/// The directory that `--runs` names among the words of a line. The shell has not put anything in the place of a `~` yet.
fn named_runs(words: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut named = words.iter().enumerate().filter_map(|(at, word)| match word.strip_prefix("--runs") {
        Some("") => words.get(at + 1).map(String::as_str),
        Some(rest) => rest.strip_prefix('='),
        None => None,
    });
    let path = named.next_back().filter(|path| !path.is_empty())?;
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(path.into()),
    }
}

fn runs(start: &OsStr) -> Vec<CompletionCandidate> {
    let runs = store().begun().unwrap_or_default();
    proposed(start, runs.iter().map(|run| run.0.as_str()))
}

fn sweeps(start: &OsStr) -> Vec<CompletionCandidate> {
    let sweeps = store().sweeps();
    proposed(start, sweeps.iter().map(String::as_str))
}

/// The keys that `--set` takes, each with `=`.
fn keys(registry: &Registry, start: &OsStr) -> Vec<CompletionCandidate> {
    let catalog = registry.catalog(&DataDirs::of(vec![]));
    let of = |section: &str, schema: &Schema| -> Vec<String> {
        schema.defaults.keys().map(|key| format!("{section}.{key}=")).collect()
    };
    let mut keys: Vec<String> = ["bits", "seeds", "split_seed", "protocol"].map(|key| format!("{key}=")).into();
    keys.extend(
        [("train", &catalog.train), ("eval", &catalog.eval)].into_iter().flat_map(|(name, schema)| of(name, schema)),
    );
    keys.extend(catalog.encoders.iter().flat_map(|(modality, schema)| of(modality.name(), schema)));
    keys.extend(catalog.datasets.iter().flat_map(|dataset| of("data", &dataset.settings)));
    proposed(start, keys.iter().map(String::as_str))
}

/// The names that begin as the user did, each once.
fn proposed<'n>(start: &OsStr, names: impl IntoIterator<Item = &'n str>) -> Vec<CompletionCandidate> {
    let start = start.to_string_lossy();
    let fitting: BTreeSet<&str> = names.into_iter().filter(|name| name.starts_with(&*start)).collect();
    fitting.into_iter().take(MOST).map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(found: &[CompletionCandidate]) -> Vec<&str> {
        found.iter().map(|one| one.get_value().to_str().unwrap()).collect()
    }

    #[test]
    fn keys_are_proposed_with_their_sections() {
        let registry = Registry {
            methods: hashlab_methods::METHODS,
            datasets: hashlab_datasets::DATASETS,
            encoders: hashlab_encoders::ENCODERS,
            published: &[],
        };
        let found = keys(&registry, OsStr::new("train.ep"));
        assert_eq!(values(&found), ["train.epochs=", "train.eps="]);
        assert!(values(&keys(&registry, OsStr::new("image."))).contains(&"image.encoder="));
    }

    #[test]
    fn the_directory_of_the_line_is_meant() {
        let named = |line: &str| named_runs(line.split(' ').map(OsString::from));
        assert_eq!(named("hashlab -- hashlab show"), None);
        assert_eq!(named("hashlab --runs a show"), Some("a".into()));
        assert_eq!(named("hashlab --runs=b show ci --runs"), Some("b".into()));
        assert_eq!(named("hashlab --runs a --runs=c/d show"), Some("c/d".into()));
        assert_eq!(named("hashlab --runs ~/e show"), std::env::home_dir().map(|home| home.join("e")));
    }

    #[test]
    fn what_begins_otherwise_is_left_out() {
        assert_eq!(values(&proposed(OsStr::new("ci"), ["cifar10", "captions", "cifar10"])), ["cifar10"]);
    }
}
