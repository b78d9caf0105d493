//! `hashlab bank`: what the view bank holds.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use crate::context::{Context, print};

pub(crate) fn run(context: &Context) -> Result<ExitCode> {
    let bank = context.bank()?;
    let entries = bank.list()?;
    let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut text = format!("{}: {} segments, {:.1} MiB\n", bank.root().display(), entries.len(), mib(total));
    for entry in &entries {
        let state = if entry.complete { "" } else { " (incomplete)" };
        let what = match &entry.key {
            Some(key) => {
                format!("{}, {}, view {}, {}, of {}", key.backbone, key.transform, key.view, key.precision, key.dataset)
            }
            None => format!("unknown: {}", entry.path.display()),
        };
        let _ = writeln!(text, "  {:8.1} MiB  {what}{state}", mib(entry.bytes));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
