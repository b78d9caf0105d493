//! Stochastic gradient descent with momentum.

use candle_core::{Result, Tensor, Var};
use hashlab_simd::vectorized;

use super::elementwise::{check, or_zero, update1};
use crate::gpu::launch::Factor;
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

/// Takes a step on `param` with its `velocity`.
///
/// # Shapes
/// `grad` and `velocity` have the shape of `param`.
///
/// # Errors
/// If the shapes differ.
pub fn sgd_step(param: &Var, grad: &Tensor, velocity: &mut Tensor, sgd: &Sgd) -> Result<()> {
    check(param, &[("gradient", grad), ("velocity", velocity)])?;
    if cpu::is_f32(&[param, grad, velocity]) {
        update1(param, grad, velocity, |p, g, v| slices(p, g, v, sgd))
    } else if gpu::is_f32(&[param, grad, velocity]) {
        // The kernel does not read the second state.
        gpu::optimize("sgd", &[[param, grad, velocity, velocity]], &sgd.factors())
    } else {
        tensors(param, grad, velocity, sgd)
    }
}

impl Sgd {
    /// The factors of the rule as the GPU's kernel takes them.
    pub(crate) fn factors(&self) -> Vec<Factor> {
        let mut factors = [self.lr, self.momentum, self.weight_decay].map(|x| Factor::Number(x as f32)).to_vec();
        factors.push(Factor::Flag(self.nesterov));
        factors
    }
}

fn slices(p: &mut [f32], g: &[f32], v: &mut [f32], sgd: &Sgd) {
    let [lr, momentum, decay] = [sgd.lr, sgd.momentum, sgd.weight_decay].map(|x| x as f32);
    // The step is `mine·g + ahead·v`: the velocity alone, or the gradient plus one more step of momentum.
    let (mine, ahead) = if sgd.nesterov { (1.0, momentum) } else { (0.0, 1.0) };
    let factors = [lr, momentum, decay, mine, ahead];
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
fn tensors(param: &Var, grad: &Tensor, velocity: &mut Tensor, sgd: &Sgd) -> Result<()> {
    let p = param.as_detached_tensor();
    let g = (grad + (&p * sgd.weight_decay)?)?;
    *velocity = ((&*velocity * sgd.momentum)? + &g)?;
    let step = if sgd.nesterov { (g + (&*velocity * sgd.momentum)?)? } else { velocity.clone() };
    param.set(&(p - (step * sgd.lr)?)?)
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
            let step = |p: &Var, g: &Tensor, s: &mut [Tensor; 2], _| sgd_step(p, g, &mut s[0], &sgd).unwrap();
            closest(&run(step, false), |p, g| scalar(&sgd, p, g), 2e-6);
            closest(&run(step, true), |p, g| scalar(&sgd, p, g), 1e-12);
        }
    }

    #[test]
    fn a_velocity_without_gradient_ends_at_zero() {
        let sgd = Sgd { lr: 0.05, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        none_is_subnormal(|p, g, [velocity, _], _| sgd_step(p, g, velocity, &sgd).unwrap());
    }
}
