//! What is known of all jobs at a moment, and how to say it; [`super::Bars`] and [`super::Lines`] print it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::eta::{Durations, makespan};
use super::{News, span};
use crate::exec::{Job, Outcome, Work};
use crate::{Event, RunResult, Status};

/// All jobs.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) entries: Vec<Entry>,
    parallel: usize,
    durations: Durations,
}

/// One job.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) title: String,
    pub(super) log: PathBuf,
    pub(super) phase: Phase,
    kind: String,
    /// The headline metric; `None` for a stage.
    metric: Option<String>,
    started: Option<Instant>,
    heard: Heard,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Waiting,
    Running,
    Done,
    Failed,
    Stopped,
}

/// What its process has told.
#[derive(Debug, Default)]
struct Heard {
    /// What it does, in words.
    activity: String,
    /// Units done and in all: epochs, images.
    done: u64,
    total: u64,
    /// Headline mAP on the validation queries.
    validation: Option<f64>,
    /// Seconds that it still needed, and when it said so.
    left: Option<(f64, Instant)>,
    /// The stage it is in, and when and at how many units it was first heard of: the base of its speed.
    stage: Option<(String, Instant, u64)>,
}

impl Board {
    /// Takes note of news.
    pub(super) fn note(&mut self, news: News<'_>) {
        match news {
            News::Begin { jobs, done, parallel } => {
                self.entries = jobs.iter().map(Entry::new).collect();
                self.parallel = parallel.get();
                done.iter().for_each(|job| self.entries[*job].phase = Phase::Done);
            }
            News::Started { job } => self.entries[job].start(),
            News::Waiting { job } => self.entries[job].phase = Phase::Waiting,
            News::Told { job, event } => self.entries[job].heard.note(event),
            News::Ended { job, outcome, took } => self.end(job, outcome, took),
            News::Stopping { .. } => self.give_up_pending(),
            News::Tick | News::Over => {}
        }
    }

    fn end(&mut self, job: usize, outcome: &Outcome, took: Option<Duration>) {
        let entry = &mut self.entries[job];
        entry.phase = match outcome {
            Outcome::Finished(_) | Outcome::StageDone => Phase::Done,
            Outcome::Failed { .. } => Phase::Failed,
            Outcome::Interrupted | Outcome::NotStarted => Phase::Stopped,
        };
        if let (Phase::Done, Some(took)) = (entry.phase, took) {
            self.durations.add(&entry.kind, took);
        }
    }

    /// Takes the jobs that will not be started out of the estimates.
    fn give_up_pending(&mut self) {
        let open = |entry: &&mut Entry| matches!(entry.phase, Phase::Pending | Phase::Waiting);
        self.entries.iter_mut().filter(open).for_each(|entry| entry.phase = Phase::Stopped);
    }

    pub(super) fn count(&self, phase: Phase) -> usize {
        self.entries.iter().filter(|entry| entry.phase == phase).count()
    }

    /// Jobs that are over, well or badly.
    pub(super) fn ended(&self) -> usize {
        self.count(Phase::Done) + self.count(Phase::Failed)
    }

    /// Says where all stand, e.g. `1 failed, 2 running, about 14 min left`.
    pub(super) fn overall(&self) -> String {
        let mut parts = Vec::new();
        for (phase, word) in
            [(Phase::Failed, "failed"), (Phase::Running, "running"), (Phase::Waiting, "held by another sweep")]
        {
            match self.count(phase) {
                0 => {}
                count => parts.push(format!("{count} {word}")),
            }
        }
        parts.extend(self.left().map(|left| format!("about {} left", span(left))));
        parts.join(", ")
    }

    /// Estimates how long all will still take; `None` before anything is known.
    pub(super) fn left(&self) -> Option<Duration> {
        let open = self.entries.iter().filter(|entry| matches!(entry.phase, Phase::Pending | Phase::Running));
        let left: Option<Vec<f64>> = open.map(|entry| self.left_of(entry)).collect();
        let left = left.filter(|left| !left.is_empty())?;
        Duration::try_from_secs_f64(makespan(&left, self.parallel)).ok()
    }

    /// Estimates the seconds that a job still needs. What its process says counts more than what others took. A job
    /// that nothing is known of takes as long as the slowest that runs.
    fn left_of(&self, entry: &Entry) -> Option<f64> {
        let by_others = || Some((self.durations.estimate(&entry.kind)? - entry.age()).max(0.0));
        let as_those_running = || {
            let running = self.entries.iter().filter(|other| other.phase == Phase::Running);
            running.filter_map(|other| Some(other.age() + other.left()?)).reduce(f64::max)
        };
        entry.left().or_else(by_others).or_else(as_those_running)
    }
}

impl Entry {
    fn new(job: &Job) -> Self {
        let metric = match &job.work {
            Work::Run { metric, .. } => Some(metric.clone()),
            Work::Stage => None,
        };
        Self {
            title: job.title.clone(),
            log: job.log.clone(),
            phase: Phase::Pending,
            kind: job.kind.clone(),
            metric,
            started: None,
            heard: Heard::default(),
        }
    }

    fn start(&mut self) {
        self.phase = Phase::Running;
        self.started = Some(Instant::now());
        self.heard = Heard::default();
    }

    /// Seconds since its process was started.
    fn age(&self) -> f64 {
        self.started.map_or(0.0, |started| started.elapsed().as_secs_f64())
    }

    /// Seconds that its process says it still needs.
    fn left(&self) -> Option<f64> {
        let (left, said) = self.heard.left?;
        Some((left - said.elapsed().as_secs_f64()).max(0.0))
    }

    /// Units done and in all, for a bar; 0 of 0 before anything is known.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.heard.done, self.heard.total)
    }

    /// Says what it does, e.g. `epoch 3/100, loss 0.1234, validation mAP@1000 0.612, 40 s left`.
    pub(super) fn activity(&self) -> String {
        if self.heard.activity.is_empty() {
            return "starting".to_owned();
        }
        let mut text = self.heard.activity.clone();
        if let (Some(map), Some(metric)) = (self.heard.validation, &self.metric) {
            text += &format!(", validation {metric} {map:.3}");
        }
        if let Some(left) = self.left().and_then(|left| Duration::try_from_secs_f64(left).ok()) {
            text += &format!(", {} left", span(left));
        }
        text
    }

    /// Says how it ended; the lines after the first are details.
    pub(super) fn ending(&self, outcome: &Outcome, took: Option<Duration>) -> String {
        let time = |word: &str| match took {
            Some(took) => format!("{word} {}", span(took)),
            None if self.phase == Phase::Failed => "before it started, or in another sweep".to_owned(),
            None => "by another sweep".to_owned(),
        };
        match outcome {
            Outcome::Finished(result) => match result.status {
                Status::Finished => format!("finished {}{}", time("in"), self.headline(result)),
                Status::Diverged => {
                    let why = result.message.as_deref().unwrap_or("its loss is not finite");
                    format!("diverged {}: {why}", time("after"))
                }
            },
            Outcome::StageDone => format!("done {}", time("in")),
            Outcome::Failed { message } => {
                let first = message.lines().next().unwrap_or_default();
                format!("FAILED {}: {first}\n  log: {}", time("after"), self.log.display())
            }
            Outcome::Interrupted => "stopped; the same command goes on from its checkpoint".to_owned(),
            Outcome::NotStarted => "not started".to_owned(),
        }
    }

    /// The headline metric, e.g. `, mAP@1000 0.612`; on the validation queries if there is no other.
    fn headline(&self, result: &RunResult) -> String {
        let metric = self.metric.as_deref().unwrap_or_default();
        let (set, map) = match (result.test.get("map_at_k"), result.validation.get("map_at_k")) {
            (Some(map), _) => ("", map),
            (None, Some(map)) => ("validation ", map),
            (None, None) => return String::new(),
        };
        format!(", {set}{metric} {map:.3}")
    }
}

impl Heard {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Stage { name, done, total, unit } => {
                self.activity = format!("{name}: {done} of {total} {unit}");
                (self.done, self.total) = (*done, *total);
                self.note_speed(name);
            }
            Event::Epoch { epoch, epochs, loss, left } => {
                self.activity = format!("epoch {epoch}/{epochs}, loss {loss:.4}");
                (self.done, self.total) = (*epoch as u64, *epochs as u64);
                self.left = Some((*left, Instant::now()));
            }
            Event::Validation { map, .. } => self.validation = Some(*map),
        }
    }

    /// Derives the time that the stage `name` still needs from its speed since it was first heard of: a stage that
    /// resumes does not start at 0.
    fn note_speed(&mut self, name: &str) {
        let now = Instant::now();
        match &self.stage {
            Some((stage, since, base)) if stage == name && self.done > *base => {
                let pace = (now - *since).as_secs_f64() / (self.done - base) as f64;
                self.left = Some((pace * self.total.saturating_sub(self.done) as f64, now));
            }
            Some((stage, ..)) if stage == name => {}
            _ => {
                self.stage = Some((name.to_owned(), now, self.done));
                self.left = None;
            }
        }
    }
}
