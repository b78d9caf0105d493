//! `hashlab datasets`: sizes, labels, protocols, source, licence, and where the files were found.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_data::{Contents, DataError, Entry, Info};
use hashlab_engine::Schema;

use super::methods::{settings, wrap};
use crate::args::NameArgs;
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &NameArgs) -> Result<ExitCode> {
    match &args.name {
        None => print(&list(context.registry.datasets))?,
        Some(name) => print(&describe(context, context.dataset(name)?)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(datasets: &[Entry]) -> String {
    let width = datasets.iter().map(|d| d.info().name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for entry in datasets {
        let _ = writeln!(text, "{:width$}  {}", entry.info().name, entry.info().title);
    }
    text + "\n`hashlab datasets NAME` describes a data set, its protocols and where it was found.\n"
}

fn describe(context: &Context, entry: &Entry) -> Result<String> {
    let description = entry.describe(&entry.defaults(), &context.dirs);
    let info = &description.info;
    let mut text = format!("{}: {}\n", info.name, info.title);
    for (what, value) in [("source", info.source), ("licence", info.licence), ("cite", info.citation)] {
        for (i, line) in wrap(value, 100).iter().enumerate() {
            let _ = writeln!(text, "  {:9}{line}", if i == 0 { what } else { "" });
        }
    }
    let _ = writeln!(text, "  {:9}{}", "identity", info.identity);
    match description.contents {
        Ok(contents) => text += &holdings(info, &contents),
        Err(error @ DataError::Missing { .. }) => {
            let _ = writeln!(text, "\nNot here: {error}");
        }
        Err(error) => return Err(error.into()),
    }
    let check = std::sync::Arc::new(|_: &_| Ok(()));
    let schema = Schema {
        defaults: description.defaults,
        docs: description.docs,
        check,
        idle: std::sync::Arc::new(|_| Vec::new()),
    };
    text.push('\n');
    text += &settings("Settings of [data]:", &schema);
    Ok(text)
}

/// What the opened data set holds: items, labels, splits, files.
fn holdings(info: &Info, contents: &Contents) -> String {
    let captions = if info.captions { " with captions" } else { "" };
    let mut text = format!(
        "  {:9}{} images{captions}\n  {:9}{} classes, {:.1} per image\n",
        "items", contents.items, "labels", contents.classes, contents.labels_per_item
    );
    for line in wrap(&info.classes.join(", "), 100) {
        let _ = writeln!(text, "  {:9}{line}", "");
    }
    for path in &contents.found_at {
        let _ = writeln!(text, "  {:9}{}", "found at", path.display());
    }
    text += "\nProtocols (the first is the default):\n";
    for (protocol, sizes) in &contents.protocols {
        let depth = if protocol.map_at == 0 {
            "mAP over the whole ranking".to_owned()
        } else {
            format!("mAP@{}", protocol.map_at)
        };
        let _ = writeln!(
            text,
            "  {}: {} queries, {} in the database, {} to train on, {} validation queries; {depth}",
            protocol.name, sizes.query, sizes.database, sizes.train, sizes.validation_query
        );
        for line in wrap(protocol.description, 100) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}
