//! `hashlab doctor`: whether this machine has what runs need, and what to do where it has not.

mod data;
mod devices;
mod places;
mod system;

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::args::{DoctorArgs, TextOrJson};
use crate::context::{Context, print};

/// Something is to be done.
const TO_DO: u8 = 1;

/// What was found out about one subject.
#[derive(Serialize)]
struct Finding {
    subject: &'static str,
    state: State,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Nothing is to be done.
    Ok,
    /// It works, and more could be had.
    Hint,
    /// Runs will fail or be lost.
    ToDo,
}

impl Finding {
    fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, state: State::Ok, text: text.into(), help: None }
    }

    fn hint(subject: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { subject, state: State::Hint, text: text.into(), help: Some(help.into()) }
    }

    fn to_do(subject: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { subject, state: State::ToDo, text: text.into(), help: Some(help.into()) }
    }
}

pub(crate) fn run(context: &Context, args: &DoctorArgs) -> Result<ExitCode> {
    let mut findings = places::findings(context);
    findings.extend(system::findings());
    findings.extend(devices::findings());
    findings.extend(data::findings(context));
    findings.push(system::slurm());
    print(&match args.format {
        TextOrJson::Text => text(&findings),
        TextOrJson::Json => format!("{:#}\n", serde_json::to_value(&findings)?),
    })?;
    let to_do = findings.iter().any(|finding| finding.state == State::ToDo);
    Ok(if to_do { ExitCode::from(TO_DO) } else { ExitCode::SUCCESS })
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { subject, state, text: found, help } in findings {
        let state = match state {
            State::Ok => "ok",
            State::Hint => "hint",
            State::ToDo => "TO DO",
        };
        let _ = writeln!(text, "{state:5}  {subject:9}  {found}");
        for line in help.iter().flat_map(|help| help.lines()) {
            let _ = writeln!(text, "{:18}{line}", "");
        }
    }
    text
}

/// Bytes in their largest sensible unit.
fn size(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 20) {
        mib if mib < 1024.0 => format!("{mib:.0} MiB"),
        mib => format!("{:.1} GiB", mib / 1024.0),
    }
}
