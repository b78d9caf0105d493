//! Single runs: what they are, what they logged, how two differ, and their removal.

pub(crate) mod diff;
pub(crate) mod logs;
pub(crate) mod remarks;
pub(crate) mod rm;
pub(crate) mod show;

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Result;
use hashlab_store::{RunConfig, RunDir, RunId, Store};
use serde_json::Value;

use crate::context::say;
use crate::exit::bad_input;

/// Runs that an ambiguous name may mean, as many as a message lists.
const LISTED: usize = 5;

/// The run that `name` means: its id, or the beginning or the last digits of the id of one run.
pub(super) fn find(store: &Store, name: &str) -> Result<RunDir> {
    let exact = store.run(&RunId(name.to_owned())).ok().filter(|run| run.path().is_dir());
    if let Some(run) = exact {
        return Ok(run);
    }
    let digits = |id: &RunId| id.0.rsplit('-').next().unwrap_or_default().to_owned();
    let meant = |id: &RunId| !name.is_empty() && (id.0.starts_with(name) || digits(id).starts_with(name));
    let found: Vec<RunId> = store.begun()?.into_iter().filter(meant).collect();
    match found.as_slice() {
        [one] => Ok(store.run(one)?),
        [] => Err(bad_input(format!(
            "there is no run `{name}` under {}\nhelp: `ls` lists the runs that were begun, `plan FILE` those of an experiment",
            store.root().display()
        ))),
        several => {
            let listed: String = several.iter().take(LISTED).map(|id| format!("\n  {id}")).collect();
            let more = several.len().saturating_sub(LISTED);
            let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
            Err(bad_input(format!("`{name}` may be any of {} runs:{listed}{more}", several.len())))
        }
    }
}

/// Asks a question on the terminal.
pub(super) fn agreed(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(bad_input("there is no terminal to ask on\nhelp: `--yes` removes without a question"));
    }
    say(question)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// The settings of a run by dotted key, as experiment files write them, e.g. `image.encoder`. Those that a configuration
/// leaves out have their defaults.
pub(super) fn settings_of(config: &RunConfig) -> Result<Vec<(String, Value)>> {
    let mut settings = Vec::new();
    flatten(String::new(), serde_json::to_value(config)?, &mut settings);
    Ok(settings)
}

fn flatten(path: String, value: Value, settings: &mut Vec<(String, Value)>) {
    let Value::Object(fields) = value else {
        return settings.push((path, value));
    };
    for (key, value) in fields {
        let key = match path.as_str() {
            "" | "encoders" => key,
            path => format!("{path}.{key}"),
        };
        flatten(key, value, settings);
    }
}

/// A value as text; the text itself of a string, nothing of none.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
