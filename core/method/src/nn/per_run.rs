//! Numbers of a loss that may differ between stacked runs.

use candle_core::{Device, Result, Tensor, bail};

/// A number of a loss, such as a temperature or a weight: the same in all runs, or one for each of the stacked runs.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hashlab_method::nn::PerRun;
///
/// let losses = Tensor::new(&[1f32, 1.0, 1.0], &Device::Cpu)?; // (runs,)
/// let weighted = PerRun::from(vec![0.1, 0.2, 0.5]).times(&losses)?;
/// assert_eq!(weighted.to_vec1::<f32>()?, [0.1, 0.2, 0.5]);
/// # candle_core::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum PerRun {
    /// The same in all runs.
    Same(f64),
    /// One for each run.
    Each(Vec<f64>),
}

impl PerRun {
    /// The number of the only one, or of each of several runs.
    pub fn of<P>(runs: &[P], number: impl Fn(&P) -> f64) -> Self {
        match runs {
            [run] => Self::Same(number(run)),
            runs => Self::Each(runs.iter().map(number).collect()),
        }
    }

    /// The number of a run.
    ///
    /// # Panics
    /// If there is no such run.
    pub fn of_run(&self, run: usize) -> f64 {
        match self {
            Self::Same(number) => *number,
            Self::Each(numbers) => numbers[run],
        }
    }

    /// A tensor of the type and on the device of `like`: `()`, or `(runs,)`.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn tensor(&self, like: &Tensor) -> Result<Tensor> {
        let numbers = match self {
            Self::Same(number) => Tensor::new(*number, &Device::Cpu)?,
            Self::Each(numbers) => Tensor::new(&numbers[..], &Device::Cpu)?,
        };
        numbers.to_dtype(like.dtype())?.to_device(like.device())
    }

    /// Applies `f` to the number, or to each of the numbers.
    #[must_use]
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Same(number) => Self::Same(f(*number)),
            Self::Each(numbers) => Self::Each(numbers.iter().map(|number| f(*number)).collect()),
        }
    }

    /// Multiplies `x` by the number; same shape. With a number for each run, `x` is `(runs, …)`, and the elements of a
    /// run have the same bits as if it were alone, except for the sign of a zero.
    ///
    /// # Errors
    /// If `x` has another number of runs.
    pub fn times(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Same(number) => x * *number,
            Self::Each(numbers) => {
                if x.dims().first() != Some(&numbers.len()) {
                    bail!("numbers of {} runs for a tensor of shape {:?}", numbers.len(), x.dims());
                }
                let mut shape = vec![1; x.rank()];
                shape[0] = numbers.len();
                x.broadcast_mul(&self.tensor(x)?.reshape(shape)?)
            }
        }
    }
}

impl From<f64> for PerRun {
    fn from(number: f64) -> Self {
        Self::Same(number)
    }
}

impl From<Vec<f64>> for PerRun {
    fn from(numbers: Vec<f64>) -> Self {
        Self::Each(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_multiplied_as_if_alone() {
        let x = Tensor::new(&[[0.3f32, -7.1], [1e-3, 5.5], [2.0, 0.7]], &Device::Cpu).unwrap();
        let numbers = PerRun::from(vec![0.3, 1.0 / 3.0, 11.0]);
        let found = numbers.map(|tau| 1.0 / tau).times(&x).unwrap().to_vec2::<f32>().unwrap();
        for (run, tau) in [0.3, 1.0 / 3.0, 11.0].into_iter().enumerate() {
            let alone = (x.get(run).unwrap() / tau).unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(found[run], alone);
        }
        assert_eq!(PerRun::from(2.0).times(&x).unwrap().to_vec2::<f32>().unwrap()[2], [4.0, 1.4]);
    }

    #[test]
    fn another_number_of_runs_is_refused() {
        let numbers = PerRun::from(vec![0.1, 0.2]);
        for shape in [&[3, 2][..], &[1], &[]] {
            assert!(numbers.times(&Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap()).is_err());
        }
    }
}
