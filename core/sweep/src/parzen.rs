//! Proposals of a search by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).
//!
//! The best tenth of the trials makes a density of good points, the others make one of bad points. Candidates are drawn
//! from the first, and the one whose ratio of both densities is highest is proposed. A density is a mixture with a
//! component per trial, each a product over the axes, so that axes which matter together are drawn together, and a wide
//! component beside them. Widths, clipping and weights are Optuna's (Watanabe, arXiv 2304.11127, §3); `just bench search`
//! compares with it. An axis that did not apply to a trial is as wide in its component. Where it does not apply to a
//! candidate, its number counts all the same: wide components make little of it.

use hashlab_rng::{Stream, stream};
use statrs::function::erf::erf;

/// Trials that are drawn at random, before there is anything to learn from.
pub const STARTUP: usize = 10;

/// Points among which the best is proposed.
const CANDIDATES: usize = 24;

/// The most good trials.
const MOST_GOOD: usize = 25;

/// The latest trials, which count in full; older ones count less.
const IN_FULL: usize = 25;

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

/// The numbers of a trial; an axis that did not apply has none.
type Point = Vec<Option<f64>>;

/// A trial with its loss, to be minimized.
#[derive(Clone, Debug)]
struct Trial {
    point: Point,
    loss: f64,
}

impl Tpe {
    /// A search that was told nothing.
    pub fn new(axes: Vec<TpeAxis>, seed: u64) -> Self {
        Self { axes, seed, told: Vec::new() }
    }

    /// Tells the value of a trial, to be maximized; `None` for one that has none, as its training diverged.
    pub fn tell(&mut self, point: Point, value: Option<f64>) {
        let loss = value.filter(|value| value.is_finite()).map_or(f64::INFINITY, |value| -value);
        self.told.push(Trial { point, loss });
    }

    /// Proposes `count` trials from number `first` on. The proposals depend on the seed, their numbers and what was told.
    ///
    /// Each is one of the bad trials for those after it, so that they lie apart.
    pub fn propose(&self, first: usize, count: usize) -> Vec<Vec<f64>> {
        let (good, mut bad) = self.divided();
        let good = Density::of(&self.axes, &good);
        let mut proposals = Vec::with_capacity(count);
        for trial in first..first + count {
            let point = match trial < STARTUP {
                true => self.drawn(trial),
                false => best_of_candidates(&good, &Density::of(&self.axes, &bad), self.random(&[trial])),
            };
            bad.push(point.iter().copied().map(Some).collect());
            proposals.push(point);
        }
        proposals
    }

    /// A point at random.
    fn drawn(&self, trial: usize) -> Vec<f64> {
        (0..self.axes.len()).map(|axis| self.random(&[trial, axis]).uniform()).collect()
    }

    fn random(&self, indices: &[usize]) -> Stream {
        stream(self.seed, "search", &indices.iter().map(|&index| index as u64).collect::<Vec<_>>())
    }

    /// Divides the trials that were told into the best tenth and the others, each in order of time. One without a value is
    /// never good.
    fn divided(&self) -> (Vec<Point>, Vec<Point>) {
        let trials = &self.told;
        let valued = trials.iter().filter(|trial| trial.loss.is_finite()).count();
        let mut good: Vec<usize> = (0..trials.len()).collect();
        good.sort_by(|&a, &b| trials[a].loss.total_cmp(&trials[b].loss));
        let mut bad = good.split_off(trials.len().div_ceil(10).min(MOST_GOOD).min(valued));
        good.sort_unstable();
        bad.sort_unstable();
        let points = |indices: Vec<usize>| indices.into_iter().map(|index| trials[index].point.clone()).collect();
        (points(good), points(bad))
    }
}

/// Draws candidates from the density of good points, and returns the one at which it is highest beside that of bad ones.
fn best_of_candidates(good: &Density, bad: &Density, mut random: Stream) -> Vec<f64> {
    /// Equal ratios may differ by so much, as processors round sums differently: the first of equals is taken.
    const EQUAL: f64 = 1e-9;
    let rated = (0..CANDIDATES).map(|_| {
        let point = good.draw(&mut random);
        (good.log(&point) - bad.log(&point), point)
    });
    let best = rated.reduce(|best, other| if other.0 > best.0 + EQUAL { other } else { best });
    best.map(|(_, point)| point).expect("there are candidates")
}

/// A density over points.
struct Density {
    /// A component per trial, and a wide one.
    components: Vec<Vec<Kernel>>,
    /// Weights of the components; their sum is 1.
    weights: Vec<f64>,
}

/// A density along an axis.
#[derive(Clone)]
enum Kernel {
    /// A normal distribution, cut off outside of `[0, 1)`.
    Normal {
        mean: f64,
        deviation: f64,
        /// Logarithm of the part that is not cut off.
        log_inside: f64,
    },
    /// Probabilities of choices.
    Choices(Vec<f64>),
}

impl Density {
    fn of(axes: &[TpeAxis], trials: &[Point]) -> Self {
        let by_axis = axes.iter().enumerate().map(|(at, &axis)| {
            let numbers: Vec<Option<f64>> = trials.iter().map(|trial| trial[at]).collect();
            kernels(axis, &numbers)
        });
        let mut components = vec![Vec::with_capacity(axes.len()); trials.len() + 1];
        for kernels in by_axis {
            components.iter_mut().zip(kernels).for_each(|(component, kernel)| component.push(kernel));
        }
        Self { components, weights: weights(trials.len()) }
    }

    /// The logarithm of the density at a point.
    fn log(&self, point: &[f64]) -> f64 {
        let of_component = |(component, weight): (&Vec<Kernel>, &f64)| {
            weight.ln() + component.iter().zip(point).map(|(kernel, &number)| kernel.log(number)).sum::<f64>()
        };
        let logs: Vec<f64> = self.components.iter().zip(&self.weights).map(of_component).collect();
        let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        highest + logs.iter().map(|log| (log - highest).exp()).sum::<f64>().ln()
    }

    fn draw(&self, random: &mut Stream) -> Vec<f64> {
        let component = chosen(&self.weights, random);
        self.components[component].iter().map(|kernel| kernel.draw(random)).collect()
    }
}

/// Weights of trials in order of time, and of the wide component after them: 1 for it and the latest trials, rising to 1
/// for older ones. Divided by their sum.
fn weights(trials: usize) -> Vec<f64> {
    let old = trials.saturating_sub(IN_FULL);
    let first = 1.0 / trials.max(1) as f64;
    let rising = (0..old).map(|at| first + (1.0 - first) * at as f64 / (old.max(2) - 1) as f64);
    let weights: Vec<f64> = rising.chain(std::iter::repeat_n(1.0, trials - old + 1)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The kernels of an axis: one per trial, wide for a trial without a number, and a wide one.
fn kernels(axis: TpeAxis, numbers: &[Option<f64>]) -> Vec<Kernel> {
    let wide = match axis {
        TpeAxis::Numbers => Kernel::normal(0.5, 1.0),
        TpeAxis::Choices(count) => Kernel::Choices(vec![1.0 / count as f64; count]),
    };
    let known: Vec<f64> = numbers.iter().flatten().copied().collect();
    let mut kernels = match axis {
        TpeAxis::Numbers => normals(&known),
        TpeAxis::Choices(count) => known.iter().map(|&number| choice(number, count, known.len() + 1)).collect(),
    }
    .into_iter();
    let of_trial = |number: &Option<f64>| number.and_then(|_| kernels.next()).unwrap_or_else(|| wide.clone());
    let mut of_trials: Vec<Kernel> = numbers.iter().map(of_trial).collect();
    of_trials.push(wide);
    of_trials
}

/// Normal distributions around numbers, as wide as the larger distance to a neighbor; around the least and the greatest, as
/// the distance to their only one; around a single number, as the larger distance to an end of the axis. Of equal
/// numbers, the distance above does not count.
fn normals(numbers: &[f64]) -> Vec<Kernel> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (last, narrowest) = (sorted.len().saturating_sub(1), 1.0 / (numbers.len() as f64 + 2.0).min(100.0));
    let width = |at: usize| {
        let below = if at > 0 { sorted[at] - sorted[at - 1] } else { 0.0 };
        let above = if at < last { sorted[at + 1] - sorted[at] } else { 0.0 };
        match last {
            0 => sorted[0].max(1.0 - sorted[0]),
            _ => below.max(above),
        }
    };
    let of = |&number: &f64| {
        let at = sorted.partition_point(|&other| other < number);
        Kernel::normal(number, width(at).clamp(narrowest, 1.0))
    };
    numbers.iter().map(of).collect()
}

/// Probabilities around a choice, which the number of kernels sharpens.
fn choice(number: f64, count: usize, kernels: usize) -> Kernel {
    let all = 1.0 / kernels as f64;
    let mut weights = vec![all; count];
    weights[at(number, count)] += 1.0;
    let sum = 1.0 + count as f64 * all;
    Kernel::Choices(weights.into_iter().map(|weight| weight / sum).collect())
}

/// The choice that a number in `[0, 1)` stands for.
fn at(number: f64, count: usize) -> usize {
    ((number * count as f64) as usize).min(count - 1)
}

impl Kernel {
    fn normal(mean: f64, deviation: f64) -> Self {
        let below = |x: f64| 0.5 * (1.0 + erf((x - mean) / (deviation * std::f64::consts::SQRT_2)));
        Self::Normal { mean, deviation, log_inside: (below(1.0) - below(0.0)).ln() }
    }

    /// The logarithm of the density, but for a summand that all densities of the axis share.
    fn log(&self, number: f64) -> f64 {
        match self {
            Self::Normal { mean, deviation, log_inside } => {
                -0.5 * ((number - mean) / deviation).powi(2) - deviation.ln() - log_inside
            }
            Self::Choices(weights) => weights[at(number, weights.len())].ln(),
        }
    }

    fn draw(&self, random: &mut Stream) -> f64 {
        match self {
            Self::Normal { mean, deviation, .. } => loop {
                // At least a third of the draws are inside.
                let number = mean + deviation * random.normal();
                if (0.0..1.0).contains(&number) {
                    return number;
                }
            },
            Self::Choices(weights) => (chosen(weights, random) as f64 + 0.5) / weights.len() as f64,
        }
    }
}

/// Draws an index by weights whose sum is 1.
fn chosen(weights: &[f64], random: &mut Stream) -> usize {
    let mut rest = random.uniform();
    let found = weights.iter().position(|weight| {
        rest -= weight;
        rest < 0.0
    });
    found.unwrap_or(weights.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(axes: Vec<TpeAxis>, trials: usize, value: impl Fn(&[f64]) -> f64) -> Tpe {
        let mut tpe = Tpe::new(axes, 3);
        for trial in 0..trials {
            for point in tpe.propose(trial, 1) {
                let value = value(&point);
                tpe.tell(point.into_iter().map(Some).collect(), Some(value));
            }
        }
        tpe
    }

    #[test]
    fn a_density_is_one_over_the_axis() {
        let density = Density::of(&[TpeAxis::Numbers], &[0.1, 0.15, 0.9].map(|number| vec![Some(number)]));
        let steps = 10_000;
        let sum: f64 = (0..steps).map(|step| density.log(&[(f64::from(step) + 0.5) / f64::from(steps)]).exp()).sum();
        let left_out = (2.0 * std::f64::consts::PI).sqrt();
        assert!((sum / f64::from(steps) / left_out - 1.0).abs() < 1e-3, "{sum}");
    }

    #[test]
    fn weights_rise_with_time_and_add_up() {
        for trials in [0, 1, 25, 26, 27, 60] {
            let weights = weights(trials);
            assert_eq!(weights.len(), trials + 1);
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(weights.is_sorted(), "{weights:?}");
        }
        let of_60 = weights(60);
        assert!((of_60[0] / of_60[60] - 1.0 / 60.0).abs() < 1e-12);
        assert_eq!(of_60[34], of_60[60]);
    }

    #[test]
    fn axes_that_matter_together_are_drawn_together() {
        let trials = [[0.1, 0.1], [0.15, 0.1], [0.9, 0.9], [0.85, 0.9]].map(|point| point.map(Some).to_vec());
        let density = Density::of(&[TpeAxis::Numbers; 2], &trials);
        assert!(density.log(&[0.1, 0.1]) > density.log(&[0.1, 0.9]) + 1.0);
    }

    #[test]
    fn the_optimum_of_two_axes_is_found() {
        let tpe = told(vec![TpeAxis::Numbers; 2], 60, |point| -(point[0] - 0.3).abs() - (point[1] - 0.8).abs());
        let best = tpe.told.iter().map(|trial| -trial.loss).fold(f64::NEG_INFINITY, f64::max);
        assert!(best > -0.1, "{best}");
    }

    #[test]
    fn what_has_no_value_is_never_good() {
        let mut tpe = Tpe::new(vec![TpeAxis::Numbers], 0);
        (0..20).for_each(|trial| tpe.tell(vec![Some(f64::from(trial) / 20.0)], None));
        assert!(tpe.divided().0.is_empty());
        assert_eq!(tpe.propose(20, 4).len(), 4);
        tpe.tell(vec![Some(0.5)], Some(1.0));
        assert_eq!(tpe.divided().0, [vec![Some(0.5)]]);
    }

    #[test]
    fn proposals_of_a_generation_lie_apart() {
        let tpe = told(vec![TpeAxis::Numbers], 20, |point| -(point[0] - 0.5).abs());
        let nearest = |points: &[f64]| {
            let pairs = points.iter().enumerate().flat_map(|(at, a)| points[..at].iter().map(move |b| (a - b).abs()));
            pairs.fold(f64::INFINITY, f64::min)
        };
        let together: Vec<f64> = tpe.propose(20, 4).concat();
        let alone: Vec<f64> = (20..24).flat_map(|trial| tpe.propose(trial, 1).concat()).collect();
        assert_ne!(together[1..], alone[1..], "each counts for those after it");
        assert!(nearest(&together) > nearest(&alone), "{together:?} {alone:?}");
    }

    #[test]
    fn good_choices_are_proposed_more_often() {
        let tpe = told(vec![TpeAxis::Choices(5)], 60, |point| -((point[0] * 5.0).floor() - 3.0).abs());
        let chosen = tpe.told[STARTUP..].iter().filter(|trial| trial.point[0] == Some(0.7)).count();
        assert!(chosen > 20, "{chosen} of 50");
    }

    #[test]
    fn trials_without_a_number_leave_an_axis_open() {
        let kernels = kernels(TpeAxis::Numbers, &[Some(0.2), None, Some(0.4)]);
        let means: Vec<f64> = kernels
            .iter()
            .map(|kernel| match kernel {
                Kernel::Normal { mean, .. } => *mean,
                Kernel::Choices(_) => unreachable!("the axis has numbers"),
            })
            .collect();
        assert_eq!(means, [0.2, 0.5, 0.4, 0.5]);
    }
}
