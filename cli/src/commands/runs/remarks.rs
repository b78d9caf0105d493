//! `hashlab tag` and `hashlab note`: a user's own words about a run.

use std::process::ExitCode;

use anyhow::Result;

use super::find;
use crate::args::{NoteArgs, TagArgs};
use crate::context::{Context, print};
use crate::exit::bad_input;

pub(crate) fn tag(context: &Context, args: &TagArgs) -> Result<ExitCode> {
    let run = find(&context.dirs().store(), &args.run.run)?;
    let odd = args.tags.iter().find(|tag| tag.is_empty() || tag.chars().any(|c| c.is_whitespace() || c.is_control()));
    if let Some(odd) = odd {
        return Err(bad_input(format!("`{odd}` is no tag\nhelp: a tag is one word; `note` takes sentences")));
    }
    let mut remarks = run.remarks();
    match args.remove {
        false => remarks.tags.extend(args.tags.iter().cloned()),
        true => remarks.tags.retain(|tag| !args.tags.contains(tag)),
    }
    if !args.tags.is_empty() {
        run.write_remarks(&remarks)?;
    }
    print(&remarks.tags.iter().map(|tag| format!("{tag}\n")).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn note(context: &Context, args: &NoteArgs) -> Result<ExitCode> {
    let run = find(&context.dirs().store(), &args.run.run)?;
    let mut remarks = run.remarks();
    match &args.text {
        None => print(&remarks.note.map(|note| note + "\n").unwrap_or_default())?,
        Some(text) => {
            remarks.note = (!text.is_empty()).then(|| text.clone());
            run.write_remarks(&remarks)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
