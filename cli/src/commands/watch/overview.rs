//! What the terminal shows of a sweep: its runs, and the curves and the log of the chosen one.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Result;
use hashlab_store::{Point, RunDir, RunId, RunState, Store};
use hashlab_sweep::PlannedRun;

use crate::context::Context;

/// Bytes of a log that are read from its end.
const LOG_BYTES: u64 = 16 << 10;

/// The name in the journal of the loss.
const LOSS: &str = "loss";
/// The name in the journal of the primary validation metric.
const VALIDATION: &str = "validation_map";

/// Runs of a sweep, and details of the chosen one.
#[derive(Debug, Default)]
pub(super) struct Overview {
    /// Name of the sweep.
    pub(super) sweep: String,
    pub(super) rows: Vec<Row>,
    /// Index of the chosen run.
    pub(super) chosen: usize,
    pub(super) curves: Curves,
    /// Last lines of the chosen run's log.
    pub(super) log: Vec<String>,
    /// Why the last reading failed, if it did.
    pub(super) trouble: Option<String>,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: RunId,
    pub(super) label: String,
    pub(super) bits: usize,
    pub(super) seed: u64,
    /// State in one word.
    pub(super) state: &'static str,
    /// The last epoch; 0 before the first one.
    pub(super) epoch: u64,
    pub(super) loss: Option<f64>,
    /// The last validation, or that of the selected epoch of a finished run.
    pub(super) validation: Option<f64>,
    /// Reason of a failure, one line.
    pub(super) message: String,
    stamp: Stamp,
}

/// Sizes and times of a run's files, by which a change is noticed.
type Stamp = [Option<(u64, SystemTime)>; 4];

/// Points `(epoch, value)` of a training.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Curves {
    pub(super) loss: Vec<(f64, f64)>,
    pub(super) validation: Vec<(f64, f64)>,
}

impl Overview {
    /// Reads the state of a sweep's newest plan.
    pub(super) fn read(context: &Context, sweep: &str) -> Result<Self> {
        let mut overview = Self { sweep: sweep.to_owned(), ..Self::default() };
        overview.refresh(context)?;
        // A run that is being executed is what most people want to see.
        overview.chosen = overview.rows.iter().position(|row| row.state == "running").unwrap_or(0);
        overview.read_chosen(&context.dirs().store())?;
        Ok(overview)
    }

    /// Reads what changed. A plan that another sweep under the same name made meanwhile replaces this one.
    pub(super) fn refresh(&mut self, context: &Context) -> Result<()> {
        let (plan, _) = context.workspace.newest_plan(&self.sweep)?;
        let store = context.dirs().store();
        let known: BTreeMap<RunId, Row> = self.rows.drain(..).map(|row| (row.id.clone(), row)).collect();
        for run in &plan.runs {
            self.rows.push(Row::read(&store.run(&run.id)?, run, known.get(&run.id)));
        }
        self.chosen = self.chosen.min(self.rows.len().saturating_sub(1));
        self.read_chosen(&store)
    }

    /// Chooses the run `by` places further down.
    pub(super) fn choose(&mut self, by: isize, context: &Context) -> Result<()> {
        self.chosen = self.chosen.saturating_add_signed(by).min(self.rows.len().saturating_sub(1));
        self.read_chosen(&context.dirs().store())
    }

    /// The number of runs in a state.
    pub(super) fn count(&self, state: &str) -> usize {
        self.rows.iter().filter(|row| row.state == state).count()
    }

    fn read_chosen(&mut self, store: &Store) -> Result<()> {
        let Some(row) = self.rows.get(self.chosen) else { return Ok(()) };
        let run = store.run(&row.id)?;
        self.curves = Curves::of(&run.metrics());
        self.log = run.log_tail(LOG_BYTES).lines().map(brief).collect();
        Ok(())
    }
}

/// A line of a log without what the title of the pane says: date, run and module.
fn brief(line: &str) -> String {
    let parts = line.split_once("run{id=").and_then(|(head, rest)| Some((head, rest.split_once("}: ")?.1)));
    let Some((head, rest)) = parts else { return line.to_owned() };
    let mut words = head.split_whitespace();
    let time = words.next().and_then(|time| time.get(11..19)).unwrap_or_default();
    let level = words.next().filter(|level| *level != "INFO").map(|level| format!("{level} ")).unwrap_or_default();
    let said = rest.split_once(": ").map_or(rest, |(_, said)| said);
    format!("{time} {level}{said}")
}

impl Row {
    /// Reads a run; a finished one that is known and unchanged is not read again.
    fn read(dir: &RunDir, run: &PlannedRun, known: Option<&Self>) -> Self {
        let stamp = dir.progress_stamp();
        if let Some(known) = known.filter(|known| known.stamp == stamp && known.state == "finished") {
            return known.clone();
        }
        let state = dir.state();
        let mut row = Self {
            id: run.id.clone(),
            label: run.label.to_string(),
            bits: run.bits,
            seed: run.seed,
            state: state.name(),
            epoch: 0,
            loss: None,
            validation: None,
            message: String::new(),
            stamp,
        };
        let curves = match state {
            RunState::Missing => Curves::default(),
            _ => Curves::of(&dir.metrics()),
        };
        row.epoch = curves.loss.last().map_or(0, |(epoch, _)| *epoch as u64);
        row.loss = curves.loss.last().map(|(_, loss)| *loss);
        row.validation = curves.validation.last().map(|(_, value)| *value);
        match state {
            RunState::Finished(result) => row.validation = result.primary_validation(),
            RunState::Failed(failure) => row.message = failure.message.lines().next().unwrap_or_default().to_owned(),
            _ => {}
        }
        row
    }
}

impl Curves {
    fn of(points: &[Point]) -> Self {
        let mut curves = Self::default();
        for point in points {
            for (name, value) in &point.values {
                let curve = match name.as_str() {
                    LOSS => &mut curves.loss,
                    VALIDATION => &mut curves.validation,
                    _ => continue,
                };
                curve.extend(value.map(|value| (point.step as f64, value)));
            }
        }
        curves
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run in a state, after some epochs.
    pub(crate) fn row(id: &str, state: &'static str, epoch: u64) -> Row {
        let validation = (epoch > 0).then(|| 0.3 + epoch as f64 / 100.0);
        let message = if state == "failed" { "out of memory".to_owned() } else { String::new() };
        Row {
            id: RunId(id.to_owned()),
            label: "CIBHash".to_owned(),
            bits: 64,
            seed: 1,
            state,
            epoch,
            loss: (epoch > 0).then(|| 3.0 / epoch as f64),
            validation,
            message,
            stamp: [None; 4],
        }
    }

    #[test]
    fn lines_of_a_log_are_brief() {
        let line =
            "2026-11-27T15:40:27.413189Z  WARN run{id=itq-b16-s1-76b5023e8b4b}: hashlab_app::worker: epoch done: 3";
        assert_eq!(brief(line), "15:40:27 WARN epoch done: 3");
        assert_eq!(brief(&line.replace("WARN", "INFO")), "15:40:27 epoch done: 3");
        assert_eq!(brief("thread panicked"), "thread panicked");
    }

    #[test]
    fn curves_are_losses_and_validations_that_are_numbers() {
        let point = |step, values: &[(&str, Option<f64>)]| Point {
            step,
            values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        let points = [
            point(1, &[("loss", Some(2.0)), ("kl", Some(9.0))]),
            point(2, &[("loss", None)]),
            point(2, &[("validation_map", Some(0.4))]),
        ];
        assert_eq!(Curves::of(&points), Curves { loss: vec![(1.0, 2.0)], validation: vec![(2.0, 0.4)] });
    }
}
