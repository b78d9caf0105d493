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

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Result, Tensor, Var};
    use hashlab_rng::stream;

    use super::*;

    /// Steps on a parameter of three parts, with the two state tensors of the rule.
    type Steps<'a> = &'a dyn Fn(&Var, &Tensor, &mut Tensor, &mut Tensor, std::ops::Range<usize>) -> Result<()>;

    /// Checks that a step by three rules is, bit for bit, that of each part by its own.
    #[track_caller]
    fn parts_step_alone(step: Steps<'_>) {
        for dtype in [DType::F32, DType::F64] {
            let mut draws = stream(3, "optim/parts", &[]);
            let mut normal = || {
                let values: Vec<f32> = (0..3 * 37).map(|_| draws.normal() as f32).collect();
                Tensor::from_vec(values, (3, 37), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
            };
            let (p, g, s, t) = (normal(), normal(), normal().sqr().unwrap(), normal().sqr().unwrap());
            let stepped = |part: std::ops::Range<usize>| {
                let of = |x: &Tensor| x.narrow(0, part.start, part.len()).unwrap().copy().unwrap();
                let (var, mut s, mut t) = (Var::from_tensor(&of(&p)).unwrap(), of(&s), of(&t));
                step(&var, &of(&g), &mut s, &mut t, part.clone()).unwrap();
                [var.as_detached_tensor(), s, t].map(|x| x.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap())
            };
            let whole = stepped(0..3);
            for part in 0..3 {
                let alone = stepped(part..part + 1);
                for (whole, alone) in whole.iter().zip(alone) {
                    assert_eq!(whole[part], alone[0], "{dtype:?}, part {part}");
                }
            }
        }
    }

    const RATES: [f64; 3] = [0.01, 0.2, 0.003];

    #[test]
    fn each_part_steps_by_its_own_rule() {
        let adam = RATES.map(|lr| Adam { lr, weight_decay: 10.0 * lr, decoupled: lr > 0.1, ..Adam::default() });
        parts_step_alone(&|p, g, m, v, part| adam_steps(&mut [(p, g, m, v)], 3, &adam[part]));
        let sgd = RATES.map(|lr| Sgd { lr, momentum: 0.9, nesterov: lr > 0.1, weight_decay: lr });
        parts_step_alone(&|p, g, v, _, part| sgd_step(p, g, v, &sgd[part]));
        let rms = RATES.map(|lr| RmsProp { lr, alpha: 0.9, eps: 1e-8, momentum: 0.5, weight_decay: lr });
        parts_step_alone(&|p, g, s, v, part| rmsprop_step(p, g, s, v, &rms[part]));
    }

    #[test]
    fn rules_for_other_parts_are_refused() {
        let var = Var::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let (g, mut m, mut v) = (var.zeros_like().unwrap(), var.zeros_like().unwrap(), var.zeros_like().unwrap());
        let error = adam_steps(&mut [(&var, &g, &mut m, &mut v)], 1, &[Adam::default(); 3]).unwrap_err();
        assert!(error.to_string().contains("3 rules for a parameter of shape [2, 3]"), "{error}");
    }
}
