//! Loss terms of steps, read from the device only when they are needed: reading them makes the host wait for the
//! device. Each of the stacked runs has its own.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use hashlab_method::{Loss, Progress};

/// Largest number of unread steps. More would gain nothing, and a diverged training would continue for as long.
const CAPACITY: usize = 256;

/// The terms of a training's last steps, all of one epoch.
#[derive(Default)]
pub(super) struct DeferredLosses(Vec<Unread>);

/// Sums of a run's loss terms over the items of an epoch so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) terms: BTreeMap<String, f64>,
    pub(super) items: usize,
}

/// A step whose terms are unread.
struct Unread {
    at: Progress,
    items: usize,
    names: Vec<&'static str>,
    runs: usize,
    /// One value per name of the first run, then of the next.
    values: Tensor,
}

impl DeferredLosses {
    /// Keeps the terms of a step of `items` items.
    pub(super) fn push(&mut self, loss: &Loss, items: usize, at: &Progress) -> Result<()> {
        let runs = loss.runs()?;
        self.0.push(Unread { at: at.clone(), items, names: names(loss), runs, values: values(loss, runs)? });
        Ok(())
    }

    /// Number of steps whose terms are unread.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is time to read them.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= CAPACITY
    }

    /// Reads all terms at once, and adds them to the sums of each run, step after step, up to a step whose terms are
    /// not finite. Returns, for each run, the message of that step, if there is one.
    pub(super) fn settle(&mut self, runs: &mut [&mut Sums]) -> Result<Vec<Option<String>>> {
        let mut diverged = vec![None; runs.len()];
        let steps = std::mem::take(&mut self.0);
        if steps.is_empty() {
            return Ok(diverged);
        }
        let values: Vec<&Tensor> = steps.iter().map(|step| &step.values).collect();
        let values = Tensor::cat(&values, 0)?.to_vec1::<f64>()?;
        let mut rest = &values[..];
        for step in &steps {
            ensure!(step.runs == runs.len(), "a loss of {} runs in a training of {}", step.runs, runs.len());
            let (values, later) = rest.split_at(step.runs * step.names.len());
            let of_runs = values.chunks_exact(step.names.len());
            for ((sums, message), values) in runs.iter_mut().zip(&mut diverged).zip(of_runs) {
                if message.is_none() {
                    *message = step.add(values, sums);
                }
            }
            rest = later;
        }
        Ok(diverged)
    }
}

impl Unread {
    /// Adds a run's terms to its sums, or returns a message if one is not finite.
    fn add(&self, values: &[f64], sums: &mut Sums) -> Option<String> {
        if values.iter().any(|value| !value.is_finite()) {
            let listed = self.names.iter().zip(values).map(|(name, value)| format!("{name} {value}"));
            let listed = listed.collect::<Vec<_>>().join(", ");
            return Some(format!("not finite at step {} (epoch {}): {listed}", self.at.step + 1, self.at.epoch + 1));
        }
        for (&name, value) in self.names.iter().zip(values) {
            *sums.terms.entry(name.to_owned()).or_default() += value * self.items as f64;
        }
        sums.items += self.items;
        None
    }
}

/// Reads the loss terms of one step by name; `loss`, the total, comes first.
pub(super) fn read(loss: &Loss) -> Result<Vec<(&'static str, f64)>> {
    let runs = loss.runs()?;
    ensure!(runs == 1, "the terms of {runs} runs, read as those of one");
    Ok(names(loss).into_iter().zip(values(loss, runs)?.to_vec1()?).collect())
}

fn names(loss: &Loss) -> Vec<&'static str> {
    std::iter::once("loss").chain(loss.terms.iter().map(|(name, _)| *name)).collect()
}

/// The terms as one tensor, run by run, detached from their graph.
fn values(loss: &Loss, runs: usize) -> Result<Tensor> {
    let terms = loss.terms.iter().map(|(_, value)| value);
    let values = std::iter::once(&loss.total).chain(terms);
    let values = values.map(|value| value.detach().to_dtype(DType::F64)?.flatten_all()?.broadcast_as(runs));
    Ok(Tensor::stack(&values.collect::<candle_core::Result<Vec<_>>>()?, 1)?.flatten_all()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn loss(total: f32, part: f64) -> Loss {
        let scalar = |value: f32| Tensor::new(value, &Device::Cpu).unwrap();
        Loss {
            total: scalar(total),
            terms: vec![("part", scalar(0.0).to_dtype(DType::F64).unwrap().affine(1.0, part).unwrap())],
        }
    }

    fn at(step: usize) -> Progress {
        Progress { epoch: 2, epochs: 3, step, steps: 900, seeds: vec![0] }
    }

    fn value(step: usize) -> f32 {
        (step as f32 * 0.7).sin()
    }

    /// Takes `steps` steps of one to three items, and reads the terms whenever `is_time` says so.
    fn sums(steps: usize, is_time: impl Fn(&DeferredLosses, usize) -> bool) -> Sums {
        let (mut losses, mut sums) = (DeferredLosses::default(), Sums::default());
        for step in 0..steps {
            losses.push(&loss(value(step), 0.1), 1 + step % 3, &at(step)).unwrap();
            if is_time(&losses, step) {
                assert_eq!(losses.settle(&mut [&mut sums]).unwrap(), [None]);
            }
        }
        assert_eq!(losses.settle(&mut [&mut sums]).unwrap(), [None]);
        sums
    }

    #[test]
    fn sums_have_the_same_bits_whenever_terms_are_read() {
        let mut each = Sums::default();
        for step in 0..600 {
            let items = 1 + step % 3;
            for (name, value) in [("loss", f64::from(value(step))), ("part", 0.1)] {
                *each.terms.entry(name.to_owned()).or_default() += value * items as f64;
            }
            each.items += items;
        }
        assert_eq!(sums(600, |losses, _| losses.is_full()), each);
        assert_eq!(sums(600, |_, step| step % 7 == 0), each);
        assert_eq!(sums(600, |_, _| false), each);
    }

    #[test]
    fn the_first_step_that_is_not_finite_is_named_and_nothing_is_added_after_it() {
        let (mut losses, mut sums) = (DeferredLosses::default(), Sums::default());
        for (step, part) in [1.0, 2.0, f64::INFINITY, f64::NAN].into_iter().enumerate() {
            losses.push(&loss(0.5, part), 1, &at(step)).unwrap();
        }
        let messages = losses.settle(&mut [&mut sums]).unwrap();
        assert_eq!(messages, [Some("not finite at step 3 (epoch 3): loss 0.5, part inf".to_owned())]);
        assert_eq!((sums.items, sums.terms["part"]), (2, 3.0));
    }

    #[test]
    fn stacked_runs_have_sums_of_their_own_and_the_diverged_one_is_named() {
        let stacked = |total: [f32; 3], part: f32| Loss {
            total: Tensor::new(&total, &Device::Cpu).unwrap(),
            terms: vec![("part", Tensor::new(part, &Device::Cpu).unwrap())],
        };
        let (mut losses, mut sums) = (DeferredLosses::default(), [(); 3].map(|()| Sums::default()));
        losses.push(&stacked([1.0, 2.0, 3.0], 0.5), 2, &at(0)).unwrap();
        losses.push(&stacked([4.0, 5.0, 6.0], 0.25), 1, &at(1)).unwrap();
        losses.push(&stacked([1.0, f32::NAN, 1.0], 0.5), 1, &at(2)).unwrap();
        losses.push(&stacked([1.0, f32::INFINITY, 1.0], 0.5), 1, &at(3)).unwrap();
        let messages = losses.settle(&mut sums.each_mut()).unwrap();
        assert_eq!(messages, [None, Some("not finite at step 3 (epoch 3): loss NaN, part 0.5".to_owned()), None]);
        let of = |loss, part, items| Sums {
            terms: BTreeMap::from([("loss".to_owned(), loss), ("part".to_owned(), part)]),
            items,
        };
        assert_eq!(sums, [of(8.0, 2.25, 5), of(9.0, 1.25, 3), of(14.0, 2.25, 5)]);
        assert!(read(&stacked([0.0; 3], 0.0)).is_err());
    }

    #[test]
    fn terms_are_read_before_they_are_many() {
        let mut losses = DeferredLosses::default();
        for step in 0..CAPACITY {
            assert!(!losses.is_full());
            losses.push(&loss(0.0, 0.0), 1, &at(step)).unwrap();
        }
        assert!(losses.is_full());
        assert_eq!(losses.settle(&mut [&mut Sums::default()]).unwrap(), [None]);
        assert!(!losses.is_full());
    }
}
