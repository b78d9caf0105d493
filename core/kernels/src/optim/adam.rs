//! Adam (Kingma and Ba, ICLR 2015) and AdamW (Loshchilov and Hutter, ICLR 2019).

use candle_core::{Result, Tensor, Var};
use hashlab_simd::vectorized;

use super::elementwise::{check, or_zero, update_tensors, update2};
use crate::gpu::launch::{Factors, padded};
use crate::{cpu, gpu};

/// The settings of `torch.optim.Adam` and `torch.optim.AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of the gradient.
    pub beta1: f64,
    /// Decay of the mean of the squared gradient.
    pub beta2: f64,
    /// Added to the root of the second moment, outside the root.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether the decay acts on the weights (AdamW) instead of being added to the gradient (Adam).
    pub decoupled: bool,
}

impl Default for Adam {
    /// PyTorch's defaults of Adam.
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

/// Takes step number `t` (from 1) on parameters with the moments m of the gradient and v of its square: on a GPU on all
/// at once.
///
/// `rules` holds the settings of all parameters, or those of each part of their first axis.
///
/// # Shapes
/// The gradient, m and v of a parameter have its shape.
///
/// # Errors
/// If the shapes differ, or the first axis of a parameter has another length than several `rules`.
pub fn adam_steps(group: &mut [AdamParameter<'_>], t: usize, rules: &[Adam]) -> Result<()> {
    let steps: Vec<Step> = rules.iter().map(|adam| Step::new(adam, t)).collect();
    let mut together = Vec::new();
    for (param, grad, m, v) in group {
        check(param, &[("gradient", grad), ("first moment", m), ("second moment", v)], steps.len())?;
        if cpu::is_f32(&[param, grad, m, v]) {
            update2(param, grad, [m, v], &steps, Step::slices)?;
        } else if gpu::is_f32(&[param, grad, m, v]) {
            together.push([param.as_tensor(), *grad, m, v]);
        } else {
            update_tensors(param, grad, [m, v], &steps, Step::tensors)?;
        }
    }
    gpu::optimize("adam", &together, &steps.iter().map(Step::factors).collect::<Vec<_>>())
}

/// A parameter, its gradient, and the moments m and v.
pub type AdamParameter<'a> = (&'a Var, &'a Tensor, &'a mut Tensor, &'a mut Tensor);

#[cfg(test)]
impl Adam {
    /// The factors of step `t` as the GPU's kernel takes them.
    pub(crate) fn factors(&self, t: usize) -> Factors {
        Step::new(self, t).factors()
    }
}

/// The scalars of one step, computed in f64 as PyTorch does.
struct Step {
    /// `1 - lr·decay` if decoupled, else 1.
    shrink: f64,
    /// The decay that is added to the gradient.
    coupled: f64,
    /// `1 - beta1`.
    rate1: f64,
    beta2: f64,
    /// `1 / sqrt(1 - beta2^t)`.
    unbias2: f64,
    eps: f64,
    /// `lr / (1 - beta1^t)`.
    size: f64,
}

impl Step {
    fn new(adam: &Adam, t: usize) -> Self {
        let exponent = i32::try_from(t).unwrap_or(i32::MAX);
        let (shrink, coupled) =
            if adam.decoupled { (1.0 - adam.lr * adam.weight_decay, 0.0) } else { (1.0, adam.weight_decay) };
        Self {
            shrink,
            coupled,
            rate1: 1.0 - adam.beta1,
            beta2: adam.beta2,
            unbias2: 1.0 / (1.0 - adam.beta2.powi(exponent)).sqrt(),
            eps: adam.eps,
            size: adam.lr / (1.0 - adam.beta1.powi(exponent)),
        }
    }

    fn factors(&self) -> Factors {
        let rate2 = 1.0 - self.beta2;
        let factors = [self.shrink, self.coupled, self.rate1, self.beta2, rate2, self.unbias2, self.eps, self.size];
        padded(factors.map(|x| x as f32))
    }

    fn slices(&self, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        let factors = [self.shrink, self.coupled, self.rate1, self.beta2, self.unbias2, self.eps, self.size];
        let (factors, rate2) = (factors.map(|x| x as f32), (1.0 - self.beta2) as f32);
        vectorized!(|p: &'a mut [f32],
                     g: &'a [f32],
                     m: &'a mut [f32],
                     v: &'a mut [f32],
                     factors: [f32; 7],
                     rate2: f32| {
            let [shrink, coupled, rate1, beta2, unbias2, eps, size] = factors;
            for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                let g = g + coupled * *p;
                *m = or_zero(*m + rate1 * (g - *m));
                *v = or_zero(beta2 * *v + rate2 * g * g);
                *p = shrink * *p - size * *m / (v.sqrt() * unbias2 + eps);
            }
        });
    }

    /// The formulation in candle's own operations.
    fn tensors(&self, p: &Tensor, grad: &Tensor, [m, v]: &mut [Tensor; 2]) -> Result<Tensor> {
        let g = if self.coupled == 0.0 { grad.clone() } else { (grad + (p * self.coupled)?)? };
        *m = (&*m + ((&g - &*m)? * self.rate1)?)?;
        *v = ((&*v * self.beta2)? + (g.sqr()? * (1.0 - self.beta2))?)?;
        let denominator = ((v.sqrt()? * self.unbias2)? + self.eps)?;
        (p * self.shrink)? - ((&*m / denominator)? * self.size)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::testing::{closest, none_is_subnormal, run};

    /// Adam as its paper writes it, in f64.
    fn scalar(adam: &Adam, p0: f64, gradients: &[f64]) -> f64 {
        let (mut p, mut m, mut v) = (p0, 0.0, 0.0);
        for (step, g) in gradients.iter().enumerate() {
            let t = step as i32 + 1;
            let g = if adam.decoupled { *g } else { g + adam.weight_decay * p };
            if adam.decoupled {
                p -= adam.lr * adam.weight_decay * p;
            }
            m = adam.beta1 * m + (1.0 - adam.beta1) * g;
            v = adam.beta2 * v + (1.0 - adam.beta2) * g * g;
            let (mean, square) = (m / (1.0 - adam.beta1.powi(t)), v / (1.0 - adam.beta2.powi(t)));
            p -= adam.lr * mean / (square.sqrt() + adam.eps);
        }
        p
    }

    #[test]
    fn steps_equal_the_papers_formula_with_both_kinds_of_decay() {
        for decoupled in [false, true] {
            let adam = Adam { lr: 0.01, weight_decay: 0.1, decoupled, ..Adam::default() };
            let step = |p: &Var, g: &Tensor, s: &mut [Tensor; 2], t| {
                let [m, v] = s;
                adam_steps(&mut [(p, g, m, v)], t, &[adam]).unwrap();
            };
            closest(&run(step, false), |p, g| scalar(&adam, p, g), 2e-6);
            closest(&run(step, true), |p, g| scalar(&adam, p, g), 1e-12);
        }
    }

    #[test]
    fn moments_without_gradient_end_at_zero() {
        let adam = Adam { beta2: 0.9, ..Adam::default() };
        none_is_subnormal(|p, g, [m, v], t| adam_steps(&mut [(p, g, m, v)], t, &[adam]).unwrap());
    }
}
