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

/// Refuses a gradient or a state tensor that does not have the shape of its parameter.
pub(super) fn check(param: &Var, others: &[(&str, &Tensor)]) -> Result<()> {
    for (what, tensor) in others {
        if tensor.dims() != param.dims() {
            bail!("{what} of shape {:?} for a parameter of shape {:?}", tensor.dims(), param.dims());
        }
    }
    Ok(())
}

/// Runs `kernel(p, g, s)` over chunks of the parameter, the gradient and one state tensor.
pub(super) fn update1(
    param: &Var,
    grad: &Tensor,
    state: &Tensor,
    kernel: impl Fn(&mut [f32], &[f32], &mut [f32]) + Sync,
) -> Result<()> {
    cpu::with_elements(grad, |g| {
        cpu::with_elements_mut(param, |p| {
            cpu::with_elements_mut(state, |s| {
                if threads::available() == 1 {
                    kernel(p, g, s);
                } else {
                    (p.par_chunks_mut(CHUNK), g.par_chunks(CHUNK), s.par_chunks_mut(CHUNK))
                        .into_par_iter()
                        .for_each(|(p, g, s)| kernel(p, g, s));
                }
                Ok(())
            })
        })
    })
}

/// Runs `kernel(p, g, s, t)` over chunks of the parameter, the gradient and two state tensors.
pub(super) fn update2(
    param: &Var,
    grad: &Tensor,
    states: [&Tensor; 2],
    kernel: impl Fn(&mut [f32], &[f32], &mut [f32], &mut [f32]) + Sync,
) -> Result<()> {
    cpu::with_elements(grad, |g| {
        cpu::with_elements_mut(param, |p| {
            cpu::with_elements_mut(states[0], |s| {
                cpu::with_elements_mut(states[1], |t| {
                    if threads::available() == 1 {
                        kernel(p, g, s, t);
                    } else {
                        (
                            p.par_chunks_mut(CHUNK),
                            g.par_chunks(CHUNK),
                            s.par_chunks_mut(CHUNK),
                            t.par_chunks_mut(CHUNK),
                        )
                            .into_par_iter()
                            .for_each(|(p, g, s, t)| kernel(p, g, s, t));
                    }
                    Ok(())
                })
            })
        })
    })
}
