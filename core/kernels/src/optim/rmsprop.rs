//! RMSprop (Hinton's lecture 6e), as PyTorch writes it.

use candle_core::{Result, Tensor, Var};
use hashlab_simd::vectorized;

use super::elementwise::{check, or_zero, update_tensors, update2};
use crate::gpu::launch::{Factors, padded};
use crate::{cpu, gpu};

/// The settings of `torch.optim.RMSprop` (not centered).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of the squared gradient.
    pub alpha: f64,
    /// Added to the root of that mean, outside the root.
    pub eps: f64,
    /// Factor of the previous velocity.
    pub momentum: f64,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
}

/// Takes a step on `param` with the mean `square` of its squared gradient and its `velocity`, by the settings of the
/// only rule, or by those of each part of the first axis.
///
/// # Shapes
/// `grad`, `square` and `velocity` have the shape of `param`.
///
/// # Errors
/// If the shapes differ, or the first axis has another length than several `rules`.
pub fn rmsprop_step(
    param: &Var,
    grad: &Tensor,
    square: &mut Tensor,
    velocity: &mut Tensor,
    rules: &[RmsProp],
) -> Result<()> {
    check(param, &[("gradient", grad), ("mean square", square), ("velocity", velocity)], rules.len())?;
    if cpu::is_f32(&[param, grad, square, velocity]) {
        update2(param, grad, [square, velocity], rules, RmsProp::slices)
    } else if gpu::is_f32(&[param, grad, square, velocity]) {
        let factors: Vec<Factors> = rules.iter().map(RmsProp::factors).collect();
        gpu::optimize("rmsprop", &[[param, grad, square, velocity]], &factors)
    } else {
        update_tensors(param, grad, [square, velocity], rules, RmsProp::tensors)
    }
}

impl RmsProp {
    fn numbers(&self) -> [f32; 6] {
        [self.lr, self.alpha, 1.0 - self.alpha, self.eps, self.momentum, self.weight_decay].map(|x| x as f32)
    }

    /// The factors as the GPU's kernel takes them.
    pub(crate) fn factors(&self) -> Factors {
        padded(self.numbers())
    }

    fn slices(&self, p: &mut [f32], g: &[f32], s: &mut [f32], v: &mut [f32]) {
        let factors = self.numbers();
        vectorized!(|p: &'a mut [f32], g: &'a [f32], s: &'a mut [f32], v: &'a mut [f32], factors: [f32; 6]| {
            let [lr, alpha, rest, eps, momentum, decay] = factors;
            for (((p, g), s), v) in p.iter_mut().zip(g).zip(s).zip(v) {
                let g = g + decay * *p;
                *s = or_zero(alpha * *s + rest * g * g);
                *v = or_zero(momentum * *v + g / (s.sqrt() + eps));
                *p -= lr * *v;
            }
        });
    }

    /// The formulation in candle's own operations.
    fn tensors(&self, p: &Tensor, grad: &Tensor, [square, velocity]: &mut [Tensor; 2]) -> Result<Tensor> {
        let g = (grad + (p * self.weight_decay)?)?;
        *square = ((&*square * self.alpha)? + (g.sqr()? * (1.0 - self.alpha))?)?;
        *velocity = ((&*velocity * self.momentum)? + (g / (square.sqrt()? + self.eps)?)?)?;
        p - (&*velocity * self.lr)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::testing::{closest, none_is_subnormal, run};

    fn scalar(r: &RmsProp, p0: f64, gradients: &[f64]) -> f64 {
        let (mut p, mut square, mut velocity) = (p0, 0.0, 0.0);
        for g in gradients {
            let g = g + r.weight_decay * p;
            square = r.alpha * square + (1.0 - r.alpha) * g * g;
            velocity = r.momentum * velocity + g / (square.sqrt() + r.eps);
            p -= r.lr * velocity;
        }
        p
    }

    #[test]
    fn steps_equal_the_documented_algorithm() {
        let settings = RmsProp { lr: 0.01, alpha: 0.99, eps: 1e-8, momentum: 0.5, weight_decay: 0.05 };
        let step = |p: &Var, g: &Tensor, s: &mut [Tensor; 2], _| {
            let [square, velocity] = s;
            rmsprop_step(p, g, square, velocity, &[settings]).unwrap();
        };
        closest(&run(step, false), |p, g| scalar(&settings, p, g), 5e-6);
        closest(&run(step, true), |p, g| scalar(&settings, p, g), 1e-12);
    }

    #[test]
    fn states_without_gradient_end_at_zero() {
        let settings = RmsProp { lr: 0.01, alpha: 0.9, eps: 1e-8, momentum: 0.9, weight_decay: 0.0 };
        none_is_subnormal(|p, g, [square, velocity], _| rmsprop_step(p, g, square, velocity, &[settings]).unwrap());
    }
}
