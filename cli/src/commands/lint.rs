//! `hashlab lint`: checks of experiment files, with everything that is wrong in each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::{BadInput, MissingFiles};
use hashlab_data::DataError;
use hashlab_settings::Settings;
use hashlab_store::counted;
use hashlab_sweep::read_file;

use crate::args::{ExperimentArgs, LintArgs};
use crate::context::{Context, color_on_stderr, note, print, say};
use crate::exit::bad_input;

/// What was found in a file.
enum Found {
    Nothing,
    Warnings(String),
    Errors(String),
    /// Nothing but the absence of its data set, which is no mistake of the file.
    NoData(String),
}

pub(crate) fn run(context: &Context, args: &LintArgs) -> Result<ExitCode> {
    let mut files = BTreeSet::new();
    for path in &args.paths {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        return Err(bad_input("there is no experiment file\nhelp: their names end in .toml"));
    }
    let bases = bases(&files);
    let (mut wrong, mut warned, mut absent) = (0, 0, 0);
    for file in files.iter().filter(|file| !bases.contains(&canonical(file))) {
        match check(context, file)? {
            Found::Nothing => {}
            Found::Warnings(text) => {
                warned += 1;
                say(&format!("{text}\n\n"))?;
            }
            Found::Errors(text) => {
                wrong += 1;
                say(&format!("{text}\n\n"))?;
            }
            Found::NoData(dataset) => {
                absent += 1;
                note(&format!(
                    "{}: data set `{dataset}` is not here, so that its runs are not checked",
                    file.display()
                ));
            }
        }
    }
    let checked = counted(files.len(), "file");
    let absent = if absent > 0 { format!(", {absent} without their data set") } else { String::new() };
    print(&format!("{checked}: {wrong} with errors, {warned} with warnings{absent}\n"))?;
    Ok(if wrong > 0 || (args.strict && warned > 0) { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// The experiment files of a path: itself, or those of a folder and the folders in it.
fn collect(path: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.insert(path.to_owned());
        return Ok(());
    }
    let entries =
        std::fs::read_dir(path).map_err(|error| bad_input(format!("cannot list {}: {error}", path.display())))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.insert(path);
        }
    }
    Ok(())
}

/// The files that others extend: parts of experiments, which are checked with them.
fn bases(files: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let base = |file: &PathBuf| {
        let table: Settings = toml::from_str(&read_file(file).ok()?).ok()?;
        Some(canonical(&file.parent()?.join(table.get("extends")?.as_str()?)))
    };
    files.iter().filter_map(base).collect()
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The data set that a file names, if its files are not here.
fn absent_data(context: &Context, file: &Path) -> Option<String> {
    let table: Settings = toml::from_str(&read_file(file).ok()?).ok()?;
    let name = table.get("dataset")?.as_str()?;
    let data = table.get("data").and_then(|data| data.as_object()).cloned().unwrap_or_default();
    let described = context.registry().dataset(name).ok()?.describe(&data, &context.dirs().data);
    matches!(described, Err(DataError::Missing { .. })).then(|| name.to_owned())
}

/// Number of mistakes in a list of them, each of which is shown at its place.
fn mistakes(text: &str) -> usize {
    text.matches("--> ").count()
}

fn check(context: &Context, file: &Path) -> Result<Found> {
    let args = ExperimentArgs { file: Some(file.to_owned()), set: Vec::new() };
    match context.plan_alone(&args) {
        Ok(_) => {}
        Err(error) if error.is::<MissingFiles>() => {} // what can be fetched is no mistake of the file
        Err(error) => match error.downcast::<BadInput>() {
            Ok(BadInput(text)) => {
                let absent = absent_data(context, file).filter(|_| mistakes(&text) == 1);
                return Ok(absent.map_or(Found::Errors(text), Found::NoData));
            }
            Err(error) => return Ok(Found::Errors(format!("error: {}: {error:#}", file.display()))),
        },
    }
    let Ok(experiment) = context.load_alone(&args) else { return Ok(Found::Nothing) };
    // Weights are no part of what is warned of.
    let plan = match experiment.plan(&mut |_, section| Ok(section.clone())) {
        Ok(plan) => plan,
        Err(error) => return Ok(Found::Errors(format!("error: {}: {error}", file.display()))),
    };
    let warnings = experiment.warnings(&plan);
    Ok(warnings.map_or(Found::Nothing, |warnings| Found::Warnings(warnings.render(color_on_stderr()))))
}
