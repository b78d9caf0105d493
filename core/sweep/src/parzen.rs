//! Proposals of a search by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).
//!
//! The densities are those of the crate `tpe`, one model per axis. This module adds what a sweep needs: axes as numbers in
//! `[0, 1)`, conditional axes, and proposals of several trials at once.

use hashlab_rng::stream;
use tpe::density_estimation::DefaultEstimatorBuilder;
use tpe::{TpeOptimizer, categorical_range, histogram_estimator, parzen_estimator, range};

/// Trials that are drawn at random, before there is anything to learn from.
pub const STARTUP: usize = 10;

/// An axis of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TpeAxis {
    /// Numbers, of which near ones give similar values.
    Numbers,
    /// So many values without an order.
    Choices(usize),
}

/// A search, which is told values and proposes trials. A trial has a number in `[0, 1)` per axis.
#[derive(Clone, Debug)]
pub struct Tpe {
    axes: Vec<TpeAxis>,
    seed: u64,
    told: Vec<Trial>,
}

/// A trial with its loss, to be minimized. An axis that did not apply has no number.
#[derive(Clone, Debug)]
struct Trial {
    point: Vec<Option<f64>>,
    loss: f64,
}

impl Tpe {
    /// A search that was told nothing.
    pub fn new(axes: Vec<TpeAxis>, seed: u64) -> Self {
        Self { axes, seed, told: Vec::new() }
    }

    /// Tells the value of a trial, to be maximized; `None` for one that has none, as its training diverged.
    pub fn tell(&mut self, point: Vec<Option<f64>>, value: Option<f64>) {
        let loss = value.filter(|value| value.is_finite()).map_or(f64::INFINITY, |value| -value);
        self.told.push(Trial { point, loss });
    }

    /// Proposes `count` trials from number `first` on. The proposals depend on the seed, their numbers and what was told.
    ///
    /// Each counts as a trial with the worst known loss for those after it, so that they differ.
    pub fn propose(&self, first: usize, count: usize) -> Vec<Vec<f64>> {
        let worst = self.told.iter().map(|trial| trial.loss).filter(|loss| loss.is_finite()).reduce(f64::max);
        let mut known = self.told.clone();
        let mut proposals = Vec::with_capacity(count);
        for trial in first..first + count {
            let point: Vec<f64> = (0..self.axes.len()).map(|axis| self.number(&known, trial, axis)).collect();
            known.push(Trial { point: point.iter().copied().map(Some).collect(), loss: worst.unwrap_or(0.0) });
            proposals.push(point);
        }
        proposals
    }

    fn number(&self, known: &[Trial], trial: usize, axis: usize) -> f64 {
        let mut random = stream(self.seed, "search", &[trial as u64, axis as u64]);
        if trial < STARTUP {
            return random.uniform();
        }
        let mut model = self.axes[axis].model();
        for Trial { point, loss } in known {
            let number = point[axis].map_or(f64::NAN, |number| self.axes[axis].to_model(number));
            model.tell(number, *loss).expect("numbers are within the axis, and no loss is NaN");
        }
        self.axes[axis].of_model(model.ask(&mut random).expect("the model is not empty"))
    }
}

impl TpeAxis {
    fn model(self) -> TpeOptimizer<DefaultEstimatorBuilder> {
        const NOT_EMPTY: &str = "an axis has values";
        match self {
            Self::Numbers => TpeOptimizer::new(parzen_estimator(), range(0.0, 1.0).expect(NOT_EMPTY)),
            Self::Choices(count) => {
                TpeOptimizer::new(histogram_estimator(), categorical_range(count).expect(NOT_EMPTY))
            }
        }
    }

    fn to_model(self, number: f64) -> f64 {
        match self {
            Self::Numbers => number,
            Self::Choices(count) => (number * count as f64).floor(),
        }
    }

    fn of_model(self, number: f64) -> f64 {
        match self {
            Self::Numbers => number,
            Self::Choices(count) => (number.floor() + 0.5) / count as f64,
        }
    }
}
