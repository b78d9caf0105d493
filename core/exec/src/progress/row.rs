//! Progress of one job, formatted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::span;
use crate::Event;
use crate::{Job, Work};

/// A job with a process.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: Arc<str>,
    pub(super) kind: Arc<str>,
    pub(super) stage: bool,
    pub(super) slots: usize,
    /// The primary metric; `None` for a stage.
    metric: Option<Arc<str>>,
    started: Instant,
    /// Current work of the process.
    activity: String,
    /// Units done and in total: epochs, images.
    done: u64,
    total: u64,
    /// The primary metric on the validation queries.
    validation: Option<f64>,
    /// Seconds left as reported by the process, and the time of the report.
    left: Option<(f64, Instant)>,
    /// Speed measurement: name of the unit, start time, units done at the start.
    pace: Option<(String, Instant, u64)>,
}

impl Row {
    pub(super) fn new(job: &Job, slots: usize) -> Self {
        let metric = match &job.work {
            Work::Runs { metric, .. } => Some(Arc::clone(metric)),
            Work::Stage => None,
        };
        Self {
            title: Arc::clone(&job.title),
            kind: Arc::clone(&job.kind),
            stage: job.is_stage(),
            slots,
            metric,
            started: Instant::now(),
            activity: String::new(),
            done: 0,
            total: 0,
            validation: None,
            left: None,
            pace: None,
        }
    }

    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Stage { name, done, total, unit } => {
                self.activity = format!("{name}: {done} of {total} {unit}");
                (self.done, self.total) = (*done, *total);
                self.note_pace(name);
            }
            Event::Epoch { epoch, epochs, loss, left } => {
                let of = if *epochs == 0 { String::new() } else { format!("/{epochs}") };
                self.activity = format!("epoch {epoch}{of}, loss {loss:.4}");
                (self.done, self.total) = (*epoch as u64, *epochs as u64);
                match left {
                    Some(left) => self.left = Some((*left, Instant::now())),
                    None => self.note_pace("epochs"),
                }
            }
            Event::Validation { map, .. } => self.validation = Some(*map),
            Event::Interrupted { signal } => self.activity = format!("received {signal}, writes a checkpoint"),
            Event::Claimed if self.activity.is_empty() => self.activity = "running".to_owned(),
            Event::Claimed | Event::Note { .. } | Event::Failed { .. } => {}
        }
    }

    /// Measures the speed from the first units of this name on: work that resumes does not start at 0.
    fn note_pace(&mut self, name: &str) {
        let now = Instant::now();
        match &self.pace {
            Some((unit, since, base)) if unit == name && self.done > *base => {
                let each = (now - *since).as_secs_f64() / (self.done - base) as f64;
                let left = (self.total > 0).then(|| each * self.total.saturating_sub(self.done) as f64);
                self.left = left.map(|left| (left, now));
            }
            Some((unit, ..)) if unit == name => {}
            _ => {
                self.pace = Some((name.to_owned(), now, self.done));
                self.left = None;
            }
        }
    }

    /// Seconds since the process was started.
    pub(super) fn age(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Seconds left, if the process reported them.
    pub(super) fn left(&self) -> Option<f64> {
        let (left, at) = self.left?;
        Some((left - at.elapsed().as_secs_f64()).max(0.0))
    }

    /// Units done and in total, for a bar; 0 of 0 before the first report.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.done, self.total)
    }

    /// Describes the activity, e.g. `epoch 3/100, loss 0.1234, validation mAP@1000 0.612, 40 s left`.
    pub(super) fn activity(&self) -> String {
        if self.activity.is_empty() {
            return "starting".to_owned();
        }
        let mut text = self.activity.clone();
        if let (Some(map), Some(metric)) = (self.validation, &self.metric) {
            text += &format!(", validation {metric} {map:.3}");
        }
        if let Some(left) = self.left().and_then(|left| Duration::try_from_secs_f64(left).ok()) {
            text += &format!(", {} left", span(left));
        }
        text
    }
}
