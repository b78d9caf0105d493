//! A plan as a file: JSON Lines, a header and one line per run. Array jobs index its lines, so it never changes once
//! written; its digest names the file.

use std::io::{self, Write};
use std::sync::Arc;

use hashlab_settings::Settings;
use hashlab_store::{RunConfig, RunId, RunIds, SCHEMA};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::external::CodesFile;
use crate::plan::{Plan, PlanError, PlannedExternal, PlannedRun};
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
        for run in &self.runs {
            out.write_all(line(&Line::of(run)).as_bytes())?;
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
    /// If a line is missing or cannot be read, is of another schema, or holds a run whose identity is not that of its
    /// configuration.
    pub fn from_jsonl(text: &str) -> Result<Self, PlanError> {
        let mut lines = text.lines();
        let header: Header = parse(1, lines.next().unwrap_or_default())?;
        if header.schema != SCHEMA {
            return Err(stored_at(1, format!("schema {SCHEMA} is expected, got {}", header.schema)));
        }
        let (mut runs, mut external): (Vec<PlannedRun>, _) = (Vec::new(), Vec::new());
        let mut ids: Option<RunIds> = None;
        for (line, text) in (2..).zip(lines) {
            if runs.len() < header.runs {
                let next = run(parse(line, text)?, runs.last());
                if !runs.last().is_some_and(|before| before.shares_template(&next)) {
                    ids = None;
                }
                check_id(line, &next, ids.get_or_insert_with(|| next.template().ids()))?;
                runs.push(next);
            } else {
                let StoredExternal { run: stored, seeded, codes, files } = parse(line, text)?;
                let row = run(stored, None);
                check_id(line, &row, &row.template().ids())?;
                external.push(PlannedExternal { run: row, seeded, codes, files });
            }
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

/// Checks that a run has the identity of its configuration.
fn check_id(line: usize, run: &PlannedRun, ids: &RunIds) -> Result<(), PlanError> {
    let actual = ids.id(run.bits, run.seed);
    if actual == run.id {
        return Ok(());
    }
    Err(stored_at(line, format!("run {} has the configuration of {actual}", run.id)))
}

/// Reads a run, which shares equal parts with the one before it.
fn run(read: StoredLine, before: Option<&PlannedRun>) -> PlannedRun {
    let StoredLine { id, setting, method, label, point, config } = read;
    let (bits, seed) = (config.bits, config.seed);
    let template = Arc::new(RunConfig { bits: 0, seed: 0, ..config });
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
