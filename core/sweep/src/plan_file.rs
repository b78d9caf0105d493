//! A plan as a file: JSON Lines, a header and one line per run. Array jobs index its lines, so it never changes once
//! written; its digest names the file.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use hashlab_settings::Settings;
use hashlab_store::{RunConfig, RunId, RunIds, SCHEMA, SharedConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::external::CodesFile;
use crate::plan::{Plan, PlanError, PlannedExternal, PlannedRun};
use crate::plan_line::{Frame, Varying};
use crate::pruning::Pruning;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: u32,
    name: String,
    dataset: String,
    dataset_title: String,
    protocol: String,
    protocol_description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pruning: Option<Pruning>,
    /// Number of lines that follow, so that a truncated file is detected.
    runs: usize,
    /// Number of lines behind those, of external rows.
    #[serde(default, skip_serializing_if = "is_zero")]
    external: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Plan {
    /// Digests the stored form; twelve hexadecimal digits name its file.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        self.write_jsonl(&mut hasher).expect("a digest takes all bytes");
        hasher.finalize().to_hex()[..12].to_owned()
    }

    /// Renders the plan as JSON Lines.
    pub fn to_jsonl(&self) -> String {
        let mut text = Vec::new();
        self.write_jsonl(&mut text).expect("memory takes all bytes");
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    /// Writes the plan as JSON Lines.
    ///
    /// # Errors
    /// Errors of `out`.
    pub fn write_jsonl(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = Header {
            schema: SCHEMA,
            name: self.name.clone(),
            dataset: self.dataset.clone(),
            dataset_title: self.dataset_title.clone(),
            protocol: self.protocol.clone(),
            protocol_description: self.protocol_description.clone(),
            pruning: self.pruning.clone(),
            runs: self.runs.len(),
            external: self.external.len(),
        };
        out.write_all(line(&header).as_bytes())?;
        let mut last: Option<(&PlannedRun, Frame)> = None;
        for run in &self.runs {
            let text = match &last {
                Some((before, frame)) if before.is_beside(run) => frame.line(run),
                _ => {
                    let text = line(&Line::of(run));
                    last = Frame::of(&text, run).map(|frame| (run, frame));
                    text
                }
            };
            out.write_all(text.as_bytes())?;
        }
        for PlannedExternal { run, seeded, codes, files } in &self.external {
            let text = line(&ExternalLine { run: Line::of(run), seeded: *seeded, codes, files });
            out.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    /// Parses [`Plan::to_jsonl`].
    ///
    /// # Errors
    /// [`PlanError::Stored`] if a line is missing or damaged, is of another schema, or holds a run whose identity or
    /// setting is not that of its configuration.
    pub fn from_jsonl(text: &str) -> Result<Self, PlanError> {
        Self::read_jsonl(text.as_bytes())
    }

    /// Reads what [`Plan::write_jsonl`] wrote, line by line, as it may be large.
    ///
    /// # Errors
    /// As those of [`Plan::from_jsonl`]; [`PlanError::Unreadable`] on an error of the system.
    pub fn read_jsonl(mut lines: impl BufRead) -> Result<Self, PlanError> {
        let mut text = String::new();
        let mut next = |line: usize, text: &mut String| -> Result<bool, PlanError> {
            text.clear();
            lines.read_line(text).map_err(|error| match error.kind() {
                // Bytes that are no text.
                io::ErrorKind::InvalidData => stored_at(line, error.to_string()),
                _ => PlanError::Unreadable { line, error },
            })?;
            let some = !text.is_empty();
            text.truncate(text.trim_end_matches('\n').len());
            Ok(some)
        };
        next(1, &mut text)?;
        let header: Header = parse(1, &text)?;
        if header.schema != SCHEMA {
            return Err(stored_at(1, format!("schema {SCHEMA} is expected, got {}", header.schema)));
        }
        let (mut runs, mut external): (Vec<PlannedRun>, Vec<PlannedExternal>) = (Vec::new(), Vec::new());
        let mut last: Option<Last> = None;
        let mut line = 2;
        while next(line, &mut text)? {
            if runs.len() < header.runs {
                let repeated = last.as_ref().zip(runs.last()).and_then(|(last, before)| last.repeated(before, &text));
                let run = match repeated {
                    Some(run) => run,
                    None => {
                        let read = run(parse(line, &text)?, runs.last());
                        let ids = match last.take() {
                            Some(last) if runs.last().is_some_and(|before| before.shares_template(&read)) => last.ids,
                            _ => read.template().ids(),
                        };
                        check_id(line, &read, &ids)?;
                        check_setting(line, &read, &ids.setting(read.bits))?;
                        last = Some(Last { frame: Frame::of(&text, &read), ids });
                        read
                    }
                };
                runs.push(run);
            } else {
                let StoredExternal { run: stored, seeded, codes, files } = parse(line, &text)?;
                let row = run(stored, None);
                let ids = row.template().ids();
                check_id(line, &row, &ids)?;
                // Seeds of a row differ in their files; what they share is the setting of the first.
                let same_row =
                    |before: &&PlannedExternal| (before.run.method, before.run.bits) == (row.method, row.bits);
                match external.last().filter(same_row) {
                    Some(before) => check_setting(line, &row, &before.run.setting)?,
                    None => check_setting(line, &row, &ids.setting(row.bits))?,
                }
                external.push(PlannedExternal { run: row, seeded, codes, files });
            }
            line += 1;
        }
        for (announced, found) in [(header.runs, runs.len()), (header.external, external.len())] {
            if announced != found {
                return Err(stored_at(1, format!("{announced} runs are announced, got {found}")));
            }
        }
        Ok(Self {
            name: header.name,
            dataset: header.dataset,
            dataset_title: header.dataset_title,
            protocol: header.protocol,
            protocol_description: header.protocol_description,
            pruning: header.pruning,
            runs,
            external,
        })
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a plan is plain data") + "\n"
}

/// The line of a run.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a RunId,
    setting: &'a str,
    method: usize,
    label: &'a str,
    point: &'a Settings,
    config: RunConfig,
}

impl<'a> Line<'a> {
    fn of(run: &'a PlannedRun) -> Self {
        let PlannedRun { id, setting, method, label, point, .. } = run;
        Self { id, setting, method: *method, label, point, config: run.config() }
    }
}

/// The line of a run of an external row.
#[derive(Serialize)]
struct ExternalLine<'a> {
    run: Line<'a>,
    seeded: bool,
    codes: &'a str,
    files: &'a [CodesFile],
}

/// The line of a run of an external row as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredExternal {
    run: StoredLine,
    seeded: bool,
    codes: String,
    files: Vec<CodesFile>,
}

/// The line of a run as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLine {
    id: RunId,
    setting: String,
    method: usize,
    label: String,
    point: Settings,
    config: RunConfig,
}

/// The line that was parsed last, and the identities of its template.
struct Last {
    frame: Option<Frame>,
    ids: RunIds,
}

impl Last {
    /// The run of a line that repeats the last one but for the varying fields; `None` if the line must be parsed.
    fn repeated(&self, before: &PlannedRun, line: &str) -> Option<PlannedRun> {
        let Varying { id, setting, bits, seed } = self.frame.as_ref()?.varying(line)?;
        let id = Some(self.ids.id(bits, seed)).filter(|actual| actual.0 == id)?;
        let setting = match (before.bits, &*before.setting) == (bits, setting) {
            true => Arc::clone(&before.setting),
            false => Some(self.ids.setting(bits)).filter(|actual| actual == setting)?.into(),
        };
        let PlannedRun { method, label, point, template, .. } = before;
        let (label, point, template) = (Arc::clone(label), Arc::clone(point), Arc::clone(template));
        Some(PlannedRun { id, setting, method: *method, label, point, bits, seed, template })
    }
}

/// Checks that a run has the identity of its configuration.
fn check_id(line: usize, run: &PlannedRun, ids: &RunIds) -> Result<(), PlanError> {
    let actual = ids.id(run.bits, run.seed);
    if actual == run.id {
        return Ok(());
    }
    Err(stored_at(line, format!("run {} has the configuration of {actual}", run.id)))
}

/// Checks that a run has the setting of its configuration.
fn check_setting(line: usize, run: &PlannedRun, actual: &str) -> Result<(), PlanError> {
    if *run.setting == *actual {
        return Ok(());
    }
    Err(stored_at(line, format!("run {} has the setting {}, its configuration {actual}", run.id, run.setting)))
}

/// Reads a run, which shares equal parts with the one before it.
fn run(read: StoredLine, before: Option<&PlannedRun>) -> PlannedRun {
    let StoredLine { id, setting, method, label, point, config } = read;
    let SharedConfig { template, bits, seed } = config.into();
    let run = PlannedRun {
        id,
        setting: setting.into(),
        method,
        label: label.into(),
        point: point.into(),
        bits,
        seed,
        template,
    };
    match before {
        None => run,
        Some(before) => PlannedRun {
            setting: shared(&before.setting, run.setting),
            label: shared(&before.label, run.label),
            point: shared(&before.point, run.point),
            template: shared(&before.template, run.template),
            ..run
        },
    }
}

/// `known` if it equals `new`.
fn shared<T: PartialEq + ?Sized>(known: &Arc<T>, new: Arc<T>) -> Arc<T> {
    if **known == *new { Arc::clone(known) } else { new }
}

fn parse<T: DeserializeOwned>(line: usize, text: &str) -> Result<T, PlanError> {
    serde_json::from_str(text).map_err(|error| stored_at(line, error.to_string()))
}

fn stored_at(line: usize, message: String) -> PlanError {
    PlanError::Stored { line, message }
}
