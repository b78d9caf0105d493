//! Stochastic gradient descent with momentum.

use candle_core::{Result, Tensor, Var};
use hashlab_simd::vectorized;

use super::elementwise::{check, or_zero, update_tensors, update1};
use crate::gpu::launch::{Factors, padded};
use crate::{cpu, gpu};

/// The settings of `torch.optim.SGD` (its dampening is 0).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Factor of the previous velocity; PyTorch adds the gradient unscaled, so the effective rate is
    /// `lr / (1 - momentum)`.
    pub momentum: f64,
    /// Whether the step looks ahead along the velocity (Nesterov).
    pub nesterov: bool,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
}

/// Takes a step on `param` with its `velocity`, by the settings of the only rule, or by those of each part of the first
/// axis.
///
/// # Shapes
/// `grad` and `velocity` have the shape of `param`.
///
/// # Errors
/// If the shapes differ, or the first axis has another length than several `rules`.
pub fn sgd_step(param: &Var, grad: &Tensor, velocity: &mut Tensor, rules: &[Sgd]) -> Result<()> {
    check(param, &[("gradient", grad), ("velocity", velocity)], rules.len())?;
    if cpu::is_f32(&[param, grad, velocity]) {
        update1(param, grad, velocity, rules, Sgd::slices)
    } else if gpu::is_f32(&[param, grad, velocity]) {
        // The kernel does not read the second state.
        let factors: Vec<Factors> = rules.iter().map(Sgd::factors).collect();
        gpu::optimize("sgd", &[[param, grad, velocity, velocity]], &factors)
    } else {
        update_tensors(param, grad, [velocity], rules, Sgd::tensors)
    }
}

impl Sgd {
    /// The step is `mine·g + ahead·v`: the velocity alone, or the gradient plus one more step of momentum.
    fn numbers(&self) -> [f32; 5] {
        let [lr, momentum, decay] = [self.lr, self.momentum, self.weight_decay].map(|x| x as f32);
        let (mine, ahead) = if self.nesterov { (1.0, momentum) } else { (0.0, 1.0) };
        [lr, momentum, decay, mine, ahead]
    }

    /// The factors as the GPU's kernel takes them.
    pub(crate) fn factors(&self) -> Factors {
        padded(self.numbers())
    }

    fn slices(&self, p: &mut [f32], g: &[f32], v: &mut [f32]) {
        let factors = self.numbers();
        vectorized!(|p: &'a mut [f32], g: &'a [f32], v: &'a mut [f32], factors: [f32; 5]| {
            let [lr, momentum, decay, mine, ahead] = factors;
            for ((p, g), v) in p.iter_mut().zip(g).zip(v) {
                let g = g + decay * *p;
                *v = or_zero(momentum * *v + g);
                *p -= lr * (mine * g + ahead * *v);
            }
        });
    }

    /// The formulation in candle's own operations.
    fn tensors(&self, p: &Tensor, grad: &Tensor, [velocity]: &mut [Tensor; 1]) -> Result<Tensor> {
        let g = (grad + (p * self.weight_decay)?)?;
        *velocity = ((&*velocity * self.momentum)? + &g)?;
        let step = if self.nesterov { (g + (&*velocity * self.momentum)?)? } else { velocity.clone() };
        p - (step * self.lr)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::testing::{closest, none_is_subnormal, run};

    /// PyTorch's documented algorithm in f64, the first velocity being the gradient itself.
    fn scalar(sgd: &Sgd, p0: f64, gradients: &[f64]) -> f64 {
        let (mut p, mut velocity) = (p0, None);
        for g in gradients {
            let g = g + sgd.weight_decay * p;
            let v = velocity.map_or(g, |v: f64| sgd.momentum * v + g);
            velocity = Some(v);
            p -= sgd.lr * if sgd.nesterov { g + sgd.momentum * v } else { v };
        }
        p
    }

    #[test]
    fn steps_equal_the_documented_algorithm() {
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            let sgd = Sgd { lr: 0.05, momentum, nesterov, weight_decay: 0.01 };
            let step = |p: &Var, g: &Tensor, s: &mut [Tensor; 2], _| sgd_step(p, g, &mut s[0], &[sgd]).unwrap();
            closest(&run(step, false), |p, g| scalar(&sgd, p, g), 2e-6);
            closest(&run(step, true), |p, g| scalar(&sgd, p, g), 1e-12);
        }
    }

    #[test]
    fn a_velocity_without_gradient_ends_at_zero() {
        let sgd = Sgd { lr: 0.05, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        none_is_subnormal(|p, g, [velocity, _], _| sgd_step(p, g, velocity, &[sgd]).unwrap());
    }
}
