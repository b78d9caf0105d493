//! `hashlab datasets`: sizes, labels, protocols, source, license, and where the files were found.

mod check;
mod page;
mod show;

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_data::{Contents, DataError, DataKind, DatasetEntry, DatasetInfo, Modality};
use hashlab_settings::Settings;

use super::methods::{settings, wrap};
use crate::args::{DatasetsArgs, DatasetsCommand};
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &DatasetsArgs) -> Result<ExitCode> {
    match &args.command {
        Some(DatasetsCommand::Check(args)) => return check::run(context, args),
        Some(DatasetsCommand::Show(args)) => return show::run(context, args),
        None => {}
    }
    match &args.name {
        None => print(&list(context.registry().datasets))?,
        Some(name) => print(&describe(context, context.registry().dataset(name)?)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(datasets: &[DatasetEntry]) -> String {
    let width = datasets.iter().map(|dataset| dataset.summary.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for dataset in datasets {
        let summary = &dataset.summary;
        let _ = writeln!(text, "{:width$}  {}: {}", summary.name, summary.title, summary.description);
    }
    text + "\n`hashlab datasets NAME` describes a data set, its protocols and where it was found.\n"
}

fn describe(context: &Context, dataset: &DatasetEntry) -> Result<String> {
    let summary = &dataset.summary;
    let mut text = format!("{} ({}): {}\n", summary.title, summary.name, summary.description);
    for (what, value) in [("source", summary.source), ("license", summary.license), ("cite", summary.citation)] {
        for (i, line) in wrap(value, 100).iter().enumerate() {
            let _ = writeln!(text, "  {:9}{line}", if i == 0 { what } else { "" });
        }
    }
    match dataset.open(&Settings::new(), &context.dirs().data) {
        Ok(opened) => text += &holdings(opened.info(), &Contents::of(opened.as_ref())?),
        Err(error @ (DataError::Missing { .. } | DataError::Invalid(_))) => {
            if let Ok(Some(info)) = dataset.declared(&Settings::new()) {
                text += &promises(&info);
            }
            let _ = writeln!(text, "\nNot here: {error}");
        }
        Err(error) => return Err(error.into()),
    }
    text.push('\n');
    text += &settings("Settings of [data]:", &dataset.schema());
    Ok(text)
}

/// What is known of a data set without its files.
fn promises(info: &DatasetInfo) -> String {
    let mut text = format!("  {:9}{}\n\nProtocols (the first is the default):\n", "identity", info.identity);
    for protocol in &info.protocols {
        let _ = writeln!(text, "  {}:", protocol.name);
        for line in wrap(&protocol.description, 100) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}

/// What the opened data set holds: items, labels, splits, files.
fn holdings(info: &DatasetInfo, contents: &Contents) -> String {
    let named = |(modality, kind): (Modality, &DataKind)| match kind {
        DataKind::Features => format!("features of {modality}s"),
        DataKind::Pixels | DataKind::Texts => format!("{modality}s"),
    };
    let modalities: Vec<String> = info.modalities.iter().map(named).collect();
    let mut text = format!(
        "  {:9}{}\n  {:9}{} with {}\n  {:9}{} classes, {:.1} per item\n",
        "identity",
        info.identity,
        "items",
        contents.items,
        modalities.join(" and "),
        "labels",
        contents.classes,
        contents.labels_per_item
    );
    for line in wrap(&info.classes.join(", "), 100) {
        let _ = writeln!(text, "  {:9}{line}", "");
    }
    for path in &contents.found_at {
        let _ = writeln!(text, "  {:9}{}", "found at", path.display());
    }
    text += "\nProtocols (the first is the default):\n";
    for (protocol, sizes) in &contents.protocols {
        let depth = protocol.map_at.map_or("mAP over the whole ranking".to_owned(), |depth| format!("mAP@{depth}"));
        let _ = writeln!(
            text,
            "  {}: {} queries, {} in the database, {} to train on, {} validation queries; {depth}",
            protocol.name, sizes.query, sizes.database, sizes.train, sizes.validation_query
        );
        for line in wrap(&protocol.description, 100) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}
