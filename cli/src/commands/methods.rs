//! `hashlab methods`: registered methods, and every hyperparameter with its default and meaning.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_method::{MethodEntry, Needs, Supervision};
use hashlab_settings::{Schema, ValueType};

use crate::args::NameArgs;
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &NameArgs) -> Result<ExitCode> {
    match &args.name {
        None => print(&list(context.registry().methods))?,
        Some(name) => print(&describe(context.registry().method(name)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(methods: &[MethodEntry]) -> String {
    let width = methods.iter().map(|m| m.info.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for MethodEntry { info, .. } in methods {
        let _ = writeln!(text, "{:width$}  {}", info.name, info.paper);
    }
    text + "\n`hashlab methods NAME` describes a method and its hyperparameters.\n"
}

fn describe(method: &MethodEntry) -> String {
    let info = method.info;
    let learns = match (method.deep, info.augmented) {
        (true, true) => "Deep: trained by gradient steps, from augmented views",
        (true, false) => "Deep: trained by gradient steps",
        (false, _) => "Shallow: fitted to all training items",
    };
    let labels = match info.supervision {
        Supervision::Unsupervised => "unsupervised",
        Supervision::Supervised => "supervised by class labels",
    };
    let needs = match info.needs {
        Needs::Any => "one modality".to_owned(),
        Needs::Separate(modalities) | Needs::Fused(modalities) => {
            let names: Vec<_> = modalities.iter().map(|modality| modality.name()).collect();
            names.join(" and ")
        }
    };
    format!(
        "{} ({})\n{}\n{learns}; {labels}; needs {needs}.\n\n{}",
        info.title,
        info.name,
        info.paper,
        settings("Hyperparameters, for `params` and `grid` of a [[method]]:", &method.schema())
    )
}

/// Lists the keys of a section with defaults and meaning.
pub(crate) fn settings(title: &str, schema: &Schema) -> String {
    if schema.defaults.is_empty() {
        return "It has no settings of its own.\n".into();
    }
    let mut text = format!("{title}\n");
    for key in schema.defaults.keys() {
        let _ = writeln!(text, "  {key} = {}", schema.default_text(key).unwrap_or_default());
        let doc = schema.docs.get(key).map_or("", String::as_str);
        let range = range(schema, key).map_or(String::new(), |range| format!(" Range: {range}."));
        for line in wrap(&format!("{doc}{range}"), 100) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}

/// The range of a number, in words.
fn range(schema: &Schema, key: &str) -> Option<String> {
    match schema.value_type(key)? {
        ValueType::Integer(bounds) | ValueType::Number(bounds) => bounds.describe(),
        _ => None,
    }
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
