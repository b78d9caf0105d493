//! `hashlab methods`: what is registered, and every hyperparameter with its default and meaning.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_engine::Schema;
use hashlab_model::{Entry, Supervision};

use crate::args::NameArgs;
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &NameArgs) -> Result<ExitCode> {
    match &args.name {
        None => print(&list(context.registry.methods))?,
        Some(name) => print(&describe(context.method(name)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(methods: &[Entry]) -> String {
    let width = methods.iter().map(|m| m.info.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Entry { info, .. } in methods {
        let _ = writeln!(text, "{:width$}  {}", info.name, info.paper);
    }
    text + "\n`hashlab methods NAME` describes a method and its hyperparameters.\n"
}

fn describe(method: &Entry) -> String {
    let info = method.info;
    let learns = match (info.gradient, info.augmented) {
        (true, true) => "by gradient steps, from augmented views",
        (true, false) => "by gradient steps",
        (false, _) => "in closed form",
    };
    let labels = match info.supervision {
        Supervision::None => "no labels",
        Supervision::Labels => "class labels",
    };
    format!(
        "{} ({})\n{}\nLearns {learns}; sees {labels}.\n\n{}",
        info.title,
        info.name,
        info.paper,
        settings("Hyperparameters, for `params` and `grid` of an arm:", &method.schema())
    )
}

/// Lists the keys of a section with defaults and meaning.
pub(crate) fn settings(title: &str, schema: &Schema) -> String {
    if schema.defaults.is_empty() {
        return "It has no settings of its own.\n".into();
    }
    let mut text = format!("{title}\n");
    for (key, default) in &schema.defaults {
        let _ = writeln!(text, "  {key} = {default}");
        for line in wrap(schema.docs.get(key).map_or("", String::as_str), 100) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}

/// Breaks a paragraph into lines of at most `width` characters.
pub(crate) fn wrap(paragraph: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
