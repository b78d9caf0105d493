//! Passes over a parameter, its gradient and its state, element by element.

use candle_core::{Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::{cpu, threads};

/// Elements that one thread takes at a time: 256 KiB, so the four slices of a chunk fit into a second-level cache.
const CHUNK: usize = 1 << 16;

/// Returns `x`, or 0 if it is too small to matter.
///
/// A weight whose gradient stays 0, that of a feature or of a unit that is always off, would keep moments that are no
/// normal numbers for ever, since nine tenths of the smallest f32 are rounded to itself; and with these, processors
/// compute in microcode. At this size a moment changes no weight, and a tenth or a hundredth of it is still a normal
/// number.
#[inline(always)]
pub(super) fn or_zero(x: f32) -> f32 {
    if x.abs() < 1e-35 { 0.0 } else { x }
}

/// Refuses a gradient or a state tensor that does not have the shape of its parameter, and several rules for a
/// parameter that has another first axis.
pub(super) fn check(param: &Var, others: &[(&str, &Tensor)], rules: usize) -> Result<()> {
    for (what, tensor) in others {
        if tensor.dims() != param.dims() {
            bail!("{what} of shape {:?} for a parameter of shape {:?}", tensor.dims(), param.dims());
        }
    }
    if rules != 1 && param.dims().first() != Some(&rules) {
        bail!("{rules} rules for a parameter of shape {:?}", param.dims());
    }
    Ok(())
}

/// Runs `kernel(rule, p, g, s)` over chunks of the parameter, the gradient and one state tensor: by the only rule, or
/// by a rule for each part of the first axis.
pub(super) fn update1<R: Sync>(
    param: &Var,
    grad: &Tensor,
    state: &Tensor,
    rules: &[R],
    kernel: impl Fn(&R, &mut [f32], &[f32], &mut [f32]) + Sync,
) -> Result<()> {
    let part = (param.elem_count() / rules.len()).max(1);
    cpu::with_elements(grad, |g| {
        cpu::with_elements_mut(param, |p| {
            cpu::with_elements_mut(state, |s| {
                let parts = p.chunks_mut(part).zip(g.chunks(part)).zip(s.chunks_mut(part));
                for (rule, ((p, g), s)) in rules.iter().zip(parts) {
                    if threads::available() == 1 {
                        kernel(rule, p, g, s);
                    } else {
                        (p.par_chunks_mut(CHUNK), g.par_chunks(CHUNK), s.par_chunks_mut(CHUNK))
                            .into_par_iter()
                            .for_each(|(p, g, s)| kernel(rule, p, g, s));
                    }
                }
                Ok(())
            })
        })
    })
}

/// Runs `kernel(rule, p, g, s, t)` over chunks of the parameter, the gradient and two state tensors: by the only rule,
/// or by a rule for each part of the first axis.
pub(super) fn update2<R: Sync>(
    param: &Var,
    grad: &Tensor,
    states: [&Tensor; 2],
    rules: &[R],
    kernel: impl Fn(&R, &mut [f32], &[f32], &mut [f32], &mut [f32]) + Sync,
) -> Result<()> {
    let part = (param.elem_count() / rules.len()).max(1);
    cpu::with_elements(grad, |g| {
        cpu::with_elements_mut(param, |p| {
            cpu::with_elements_mut(states[0], |s| {
                cpu::with_elements_mut(states[1], |t| {
                    let parts = p.chunks_mut(part).zip(g.chunks(part)).zip(s.chunks_mut(part)).zip(t.chunks_mut(part));
                    for (rule, (((p, g), s), t)) in rules.iter().zip(parts) {
                        if threads::available() == 1 {
                            kernel(rule, p, g, s, t);
                        } else {
                            (
                                p.par_chunks_mut(CHUNK),
                                g.par_chunks(CHUNK),
                                s.par_chunks_mut(CHUNK),
                                t.par_chunks_mut(CHUNK),
                            )
                                .into_par_iter()
                                .for_each(|(p, g, s, t)| kernel(rule, p, g, s, t));
                        }
                    }
                    Ok(())
                })
            })
        })
    })
}

/// Runs `step(rule, p, g, states)`, which returns the new parameter and updates its states, in candle's operations: by
/// the only rule, or by a rule for each part of the first axis.
pub(super) fn update_tensors<R, const N: usize>(
    param: &Var,
    grad: &Tensor,
    states: [&mut Tensor; N],
    rules: &[R],
    step: impl Fn(&R, &Tensor, &Tensor, &mut [Tensor; N]) -> Result<Tensor>,
) -> Result<()> {
    let p = param.as_detached_tensor();
    if let [rule] = rules {
        let mut moved = states.each_ref().map(|state| (*state).clone());
        param.set(&step(rule, &p, grad, &mut moved)?)?;
        states.into_iter().zip(moved).for_each(|(state, moved)| *state = moved);
        return Ok(());
    }
    let (mut params, mut parts) = (Vec::new(), states.each_ref().map(|_| Vec::new()));
    for (index, rule) in rules.iter().enumerate() {
        let mut moved = Vec::with_capacity(N);
        for state in &states {
            moved.push(state.get(index)?);
        }
        let Ok(mut moved) = <[Tensor; N]>::try_from(moved) else { unreachable!("as many as there are states") };
        params.push(step(rule, &p.get(index)?, &grad.get(index)?, &mut moved)?);
        parts.iter_mut().zip(moved).for_each(|(parts, moved)| parts.push(moved));
    }
    param.set(&Tensor::stack(&params, 0)?)?;
    for (state, parts) in states.into_iter().zip(parts) {
        *state = Tensor::stack(&parts, 0)?;
    }
    Ok(())
}
