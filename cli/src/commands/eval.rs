//! `hashlab eval`: every metric of codes from files, whoever made them.

mod output;
mod sides;
mod stream;

use std::process::ExitCode;

use anyhow::Result;
use hashlab_data::{Modality, Task};
use hashlab_eval::{
    ClassMean, Depth, EvalError, Grades, Interval, LabelSets, Logits, Options, Report, bootstrap, evaluate,
    evaluate_asymmetric, evaluate_graded, per_class,
};

use crate::args::EvalArgs;
use crate::context::print;
use crate::exit::bad_input;
use sides::{LabelWords, codes, grades, labels, logits};

/// Files of one search.
struct Files {
    query_codes: String,
    database_codes: String,
    query_labels: Option<String>,
    database_labels: Option<String>,
}

/// Measurements of a search.
struct Measured {
    /// The task, where a file has several.
    task: Option<Task>,
    report: Report,
    intervals: Vec<(String, Interval)>,
    classes: Vec<ClassMean>,
    queries: usize,
    items: usize,
    bits: usize,
}

pub(crate) fn run(args: &EvalArgs) -> Result<ExitCode> {
    if args.ranks.contains(&0) {
        return Err(bad_input("`--ranks` holds 0\nhelp: ranks count from 1"));
    }
    let measured = searches(args).into_iter().map(|(task, files)| measure(args, task, &files));
    print(&output::text(args, &measured.collect::<Result<Vec<_>>>()?)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The searches that arguments ask for.
fn searches(args: &EvalArgs) -> Vec<(Option<Task>, Files)> {
    let Some(file) = &args.file else {
        let files = Files {
            query_codes: args.query_codes.clone().unwrap_or_default(),
            database_codes: args.database_codes.clone().unwrap_or_default(),
            query_labels: args.query_labels.clone(),
            database_labels: args.database_labels.clone(),
        };
        return vec![(None, files)];
    };
    let array = |side: &str, name: &str| format!("{file}#{side}_{name}");
    let modality = |modality: Modality| if modality == Modality::Text { "txt" } else { "img" };
    let files = |task: &Task| Files {
        query_codes: array("q", modality(task.query)),
        database_codes: array("r", modality(task.database)),
        query_labels: Some(array("q", "l")),
        database_labels: Some(array("r", "l")),
    };
    args.task.iter().map(|task| (Some(*task), files(task))).collect()
}

fn measure(args: &EvalArgs, task: Option<Task>, files: &Files) -> Result<Measured> {
    let map_at = match args.k {
        Depth::All => None,
        Depth::At(rank) => Some(rank),
    };
    let options =
        Options { map_at, definition: args.definition, radius: args.radius, ranks: args.ranks.clone(), curves: true };
    let Found { report, queries, items, bits, classes } = match &args.grades {
        Some(path) => graded(args, files, path, &options)?,
        None => labeled(args, files, &options)?,
    };
    let intervals = args.bootstrap.map(|samples| {
        let of_metric =
            |(name, values): (&String, &Vec<f64>)| (name.clone(), bootstrap(values, samples.get(), args.seed));
        // A count is no mean.
        report.queries().iter().filter(|(name, _)| *name != "queries_without_hit").map(of_metric).collect()
    });
    Ok(Measured { task, report, intervals: intervals.unwrap_or_default(), classes, queries, items, bits })
}

/// What was found of a search.
struct Found {
    report: Report,
    queries: usize,
    items: usize,
    bits: usize,
    classes: Vec<ClassMean>,
}

/// Measures by grades.
fn graded(args: &EvalArgs, files: &Files, path: &str, options: &Options) -> Result<Found> {
    let [query, database] = [&files.query_codes, &files.database_codes].map(|path| codes(path, args.packed));
    let (query, database) = (query?, database?);
    let (queries, items) = (query.len(), database.len());
    let values = grades(path, (&files.query_codes, queries), (&files.database_codes, items))?;
    let report = fitting(files, evaluate_graded(&query, &database, Grades::new(&values, items)?, options))?;
    Ok(Found { report, queries, items, bits: query.bits(), classes: Vec::new() })
}

/// Measures by labels.
fn labeled(args: &EvalArgs, files: &Files, options: &Options) -> Result<Found> {
    let (Some(query_path), Some(database_path)) = (&files.query_labels, &files.database_labels) else {
        return Err(bad_input(
            "labels are missing\nhelp: give `--query-labels` and `--database-labels`, or `--grades`",
        ));
    };
    let classes = |report: &Report, labels: LabelSets<'_>| match args.per_class {
        true => per_class(&report.queries()[args.definition.metric()], labels),
        false => Vec::new(),
    };
    if args.stream {
        let query = codes(&files.query_codes, args.packed)?;
        let found = stream::measure(files, (query_path, database_path), &query, options);
        let (report, labels, words, items) = found.map_err(|error| match error.downcast::<EvalError>() {
            Ok(error) => unfit(files, &error),
            Err(other) => other,
        })?;
        let classes = classes(&report, LabelSets::new(&labels, words)?);
        return Ok(Found { report, queries: query.len(), items, bits: query.bits(), classes });
    }
    let database = codes(&files.database_codes, args.packed)?;
    let LabelWords { words, query: query_words, database: words_of_items } = labels(query_path, database_path)?;
    let query_labels = LabelSets::new(&query_words, words)?;
    let items = LabelSets::new(&words_of_items, words)?;
    same_items((&files.database_codes, database.len()), (database_path, items.len()))?;
    let report = if args.asymmetric {
        let (values, bits) = logits(&files.query_codes)?;
        let query = Logits::new(&values, bits)?;
        same_items((&files.query_codes, query.len()), (query_path, query_labels.len()))?;
        evaluate_asymmetric(query, query_labels, &database, items, options)
    } else {
        let query = codes(&files.query_codes, args.packed)?;
        same_items((&files.query_codes, query.len()), (query_path, query_labels.len()))?;
        evaluate(&query, query_labels, &database, items, options)
    };
    let report = fitting(files, report)?;
    let classes = classes(&report, query_labels);
    Ok(Found { report, queries: query_labels.len(), items: database.len(), bits: database.bits(), classes })
}

/// Names the files of codes that do not fit each other.
fn fitting(files: &Files, report: Result<Report, EvalError>) -> Result<Report> {
    report.map_err(|error| unfit(files, &error))
}

fn unfit(files: &Files, error: &EvalError) -> anyhow::Error {
    bad_input(format!("{} and {}: {error}", files.query_codes, files.database_codes))
}

/// Fails unless codes and labels are of the same items.
fn same_items(codes: (&str, usize), labels: (&str, usize)) -> Result<()> {
    if codes.1 == labels.1 {
        return Ok(());
    }
    Err(bad_input(format!(
        "{} has codes of {} items, {} labels of {}\nhelp: both must have a row per item, in the same order",
        codes.0, codes.1, labels.0, labels.1
    )))
}
