//! Progress events: one JSON line each on the standard output of a run's or a stage's process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Passing;
use hashlab_store::RunId;

/// Key of an epoch's mean loss in `metrics.jsonl`.
pub const LOSS: &str = "loss";

/// Key of the primary metric on the validation queries in `metrics.jsonl`.
pub const VALIDATION: &str = "validation_map";

/// Progress of a run or of a shared stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The process holds its run, and begins.
    Claimed,
    /// An optional file could not be stored, e.g. a model.
    Note {
        /// The message, in one line.
        message: String,
    },
    /// A stage started or advanced, e.g. `features`, 1200 of 50000 images.
    Stage {
        /// Name of the stage.
        name: String,
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// Name of the unit, e.g. `images`.
        unit: String,
    },
    /// An epoch ended.
    Epoch {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Epochs in all; 0 if unknown.
        epochs: usize,
        /// Mean training loss over the epoch.
        loss: f64,
        /// Estimated seconds to the end of the run.
        left: Option<f64>,
    },
    /// The validation queries were evaluated.
    Validation {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Primary metric, a fraction.
        map: f64,
    },
    /// The work failed. Sent over the pipe, so that the reason arrives even if no file can be written.
    Failed {
        /// The run; absent if the process has a single one, or if all its runs failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
        /// The error; its first line is a summary.
        message: String,
        /// Why the failure may pass, if it may.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passing: Option<Passing>,
    },
    /// A signal asked the process to stop: it writes a checkpoint and exits.
    Interrupted {
        /// Name of the signal, e.g. `SIGTERM`.
        signal: String,
    },
}

impl Event {
    /// Reports the failure of a process's only work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { run: None, message: message.into(), passing: None }
    }

    /// Rebuilds the events of one point of a run's journal, for executors without a pipe to the run's process.
    pub fn from_journal(epoch: usize, epochs: usize, values: &BTreeMap<String, Option<f64>>) -> Vec<Self> {
        let value = |key| values.get(key).copied().flatten();
        let trained = value(LOSS).map(|loss| Self::Epoch { epoch, epochs, loss, left: None });
        let validated = value(VALIDATION).map(|map| Self::Validation { epoch, map });
        trained.into_iter().chain(validated).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_point_yields_its_events() {
        let point = |key: &str, value| BTreeMap::from([(key.to_owned(), value)]);
        let epoch = Event::Epoch { epoch: 3, epochs: 9, loss: 0.5, left: None };
        assert_eq!(Event::from_journal(3, 9, &point(LOSS, Some(0.5))), [epoch]);
        assert_eq!(
            Event::from_journal(3, 9, &point(VALIDATION, Some(0.25))),
            [Event::Validation { epoch: 3, map: 0.25 }]
        );
        assert_eq!(Event::from_journal(3, 9, &point(LOSS, None)), []);
    }

    #[test]
    fn a_failure_names_its_run_only_where_there_are_several() {
        let text = |event| serde_json::to_string(&event).unwrap();
        assert_eq!(text(Event::failed("no")), r#"{"event":"failed","message":"no"}"#);
        let one = Event::Failed {
            run: Some(RunId("lsh-b16-s0-1f0c2a9b7d3e".into())),
            message: "no".into(),
            passing: Some(Passing::Io),
        };
        assert_eq!(serde_json::from_str::<Event>(&text(one.clone())).unwrap(), one);
    }
}
