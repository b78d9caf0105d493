//! A plan as a file: JSON Lines, a header and one line per run. Array jobs index its lines, so it never changes once
//! written; its digest names the file.

use hashlab_store::SCHEMA;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, PlanError, PlannedRun};

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
    /// Number of lines that follow: a truncated file must not pass for a shorter plan.
    runs: usize,
}

impl Plan {
    /// Digests the stored form; twelve hexadecimal digits name its file.
    pub fn digest(&self) -> String {
        blake3::hash(self.to_jsonl().as_bytes()).to_hex()[..12].to_owned()
    }

    /// Renders the plan as JSON Lines.
    pub fn to_jsonl(&self) -> String {
        let header = Header {
            schema: SCHEMA,
            name: self.name.clone(),
            dataset: self.dataset.clone(),
            dataset_title: self.dataset_title.clone(),
            protocol: self.protocol.clone(),
            protocol_description: self.protocol_description.clone(),
            runs: self.runs.len(),
        };
        std::iter::once(line(&header)).chain(self.runs.iter().map(line)).collect()
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
            return Err(stored(1, format!("schema {SCHEMA} is expected, got {}", header.schema)));
        }
        let runs: Vec<PlannedRun> = lines.enumerate().map(|(at, line)| run(at + 2, line)).collect::<Result<_, _>>()?;
        if runs.len() != header.runs {
            return Err(stored(1, format!("{} runs are announced, got {}", header.runs, runs.len())));
        }
        Ok(Self {
            name: header.name,
            dataset: header.dataset,
            dataset_title: header.dataset_title,
            protocol: header.protocol,
            protocol_description: header.protocol_description,
            runs,
        })
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a plan is plain data") + "\n"
}

fn run(line: usize, text: &str) -> Result<PlannedRun, PlanError> {
    let run: PlannedRun = parse(line, text)?;
    match run.config.id() {
        id if id == run.id => Ok(run),
        id => Err(stored(line, format!("run {} has the configuration of {id}", run.id))),
    }
}

fn parse<T: DeserializeOwned>(line: usize, text: &str) -> Result<T, PlanError> {
    serde_json::from_str(text).map_err(|error| stored(line, error.to_string()))
}

fn stored(line: usize, message: String) -> PlanError {
    PlanError::Stored { line, message }
}
