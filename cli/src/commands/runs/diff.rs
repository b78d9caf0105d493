//! `hashlab diff`: the settings and facts in which two runs differ.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Result;
use hashlab_store::{RunDir, RunResult, RunState};

use super::{find, plain, settings_of};
use crate::args::DiffArgs;
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &DiffArgs) -> Result<ExitCode> {
    let store = context.dirs().store();
    let (first, second) = (find(&store, &args.first)?, find(&store, &args.second)?);
    let (a, b) = (facts(&first)?, facts(&second)?);
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let of = |facts: &BTreeMap<String, String>, name: &str| facts.get(name).cloned().unwrap_or_else(|| "–".into());
    let rows = names.into_iter().map(|name| [name.clone(), of(&a, name), of(&b, name)]);
    let rows: Vec<[String; 3]> = rows.filter(|[_, a, b]| a != b).collect();
    if rows.is_empty() {
        print("the runs are equal in all settings and facts\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = [String::new(), first.id().to_string(), second.id().to_string()];
    let rows: Vec<[String; 3]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, firsts) = (width(0), width(1));
    let lines = rows.iter().map(|[name, a, b]| format!("{name:names$}  {a:firsts$}  {b}\n"));
    print(&lines.collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

/// Everything by which runs are compared: dotted keys of the configuration, then state, metrics and provenance. Keys that a
/// configuration leaves out have their defaults.
fn facts(run: &RunDir) -> Result<BTreeMap<String, String>> {
    let settings = settings_of(&run.config()?)?;
    let mut facts: BTreeMap<String, String> = settings.into_iter().map(|(key, value)| (key, plain(&value))).collect();
    let state = run.state();
    facts.insert("state".into(), state.name().into());
    if let RunState::Finished(result) = &state {
        of_result(result, &mut facts);
    }
    Ok(facts)
}

fn of_result(result: &RunResult, facts: &mut BTreeMap<String, String>) {
    for (name, tasks) in [("test", &result.test), ("validation", &result.validation)] {
        for (task, of_task) in tasks {
            let value = of_task.metrics.get(&result.primary);
            facts.extend(
                value.map(|value| (format!("{name}.{}.{}", task.key(), result.primary), format!("{value:.4}"))),
            );
        }
    }
    facts.extend(result.provenance.iter().map(|(name, value)| (format!("provenance.{name}"), value.to_string())));
}
