//! Optimizer steps in one pass over memory.
//!
//! Each step follows PyTorch's optimizer of the same name: where weight decay, momentum and bias correction enter is
//! part of what a published learning rate means. State tensors start as zeros of the parameter's shape. They are
//! updated in place, so a clone shares the update; copy one to keep it.

mod adam;
mod elementwise;
mod rmsprop;
mod sgd;

pub use adam::{Adam, AdamParameter, adam_steps};
pub use rmsprop::{RmsProp, rmsprop_step};
pub use sgd::{Sgd, sgd_step};

#[cfg(test)]
mod testing {
    use candle_core::{DType, Device, Tensor, Var};
    use hashlab_rng::stream;

    /// Not a multiple of any vector length.
    const LEN: usize = 37;
    const STEPS: usize = 6;

    /// Trajectories of elements: p0, the gradients, and the end.
    pub(super) type Trajectories = Vec<(f64, Vec<f64>, f64)>;

    /// Runs `step` over fixed gradients, in f64 (the plain formulation) or in f32 (the fused one).
    pub(super) fn run(step: impl Fn(&Var, &Tensor, &mut [Tensor; 2], usize), double: bool) -> Trajectories {
        let dtype = if double { DType::F64 } else { DType::F32 };
        let mut draws = stream(7, "optim", &[]);
        // Rounded to f32, so that both precisions start from equal numbers.
        let mut row = || (0..LEN).map(|_| f64::from(draws.normal() as f32)).collect::<Vec<_>>();
        let start = row();
        let gradients: Vec<_> = (0..STEPS).map(|_| row()).collect();
        let make = |v: &[f64]| Tensor::new(v, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let param = Var::from_tensor(&make(&start)).unwrap();
        let mut state = [param.zeros_like().unwrap(), param.zeros_like().unwrap()];
        for (t, gradient) in gradients.iter().enumerate() {
            step(&param, &make(gradient), &mut state, t + 1);
        }
        let end = param.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
        (0..LEN).map(|i| (start[i], gradients.iter().map(|g| g[i]).collect(), end[i])).collect()
    }

    /// Runs `step` with one gradient and then without, until the first one's effect must be gone.
    pub(super) fn none_is_subnormal(step: impl Fn(&Var, &Tensor, &mut [Tensor; 2], usize)) {
        let ones = Tensor::ones(LEN, DType::F32, &Device::Cpu).unwrap();
        let (param, zeros) = (Var::from_tensor(&ones).unwrap(), ones.zeros_like().unwrap());
        let mut state = [zeros.copy().unwrap(), zeros.copy().unwrap()];
        for t in 1..2000 {
            step(&param, if t == 1 { &ones } else { &zeros }, &mut state, t);
        }
        for kept in state {
            assert!(kept.to_vec1::<f32>().unwrap().into_iter().all(|x| !x.is_subnormal()), "{kept}");
        }
    }

    /// Compares every end with a scalar reference, relative to its size.
    pub(super) fn closest(trajectories: &Trajectories, reference: impl Fn(f64, &[f64]) -> f64, tolerance: f64) {
        for (start, gradients, end) in trajectories {
            let expected = reference(*start, gradients);
            assert!((end - expected).abs() <= tolerance * expected.abs().max(1.0), "{end} against {expected}");
        }
    }
}
