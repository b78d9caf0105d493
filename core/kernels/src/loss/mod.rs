//! Losses in one pass, which would take dozens of tensor operations with a scalar `exp` or `ln` each.

mod bernoulli;
#[cfg(feature = "cuda")]
mod cuda;
mod ln;
mod nt_xent;

pub use bernoulli::bernoulli_kl;
pub use nt_xent::nt_xent;
