//! Operations of transformers besides [dense layers](crate::linear()): attention, layer norm and GELU.
//!
//! candle's own layer norm and softmax silently have no gradient.

mod attention;
mod block;
#[cfg(feature = "cuda")]
mod cuda;
mod exp;
mod gelu;
mod layer_norm;
mod softmax;

pub use attention::{attention, causal_attention};
pub(crate) use exp::exp;
pub use gelu::{Gelu, gelu};
pub use layer_norm::layer_norm;

/// Elements per pass.
const CHUNK: usize = 1 << 14;

/// Adds up `f` of all indices below `len`, in an order that lets the compiler use vectors.
#[inline(always)]
pub(crate) fn sum(len: usize, f: impl Fn(usize) -> f32) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0; LANES];
    let whole = len - len % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    lanes.into_iter().sum::<f32>() + (whole..len).map(f).sum::<f32>()
}
