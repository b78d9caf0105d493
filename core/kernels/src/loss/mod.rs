//! Losses in one pass: what tensor operations compute in dozens, each through a scalar `exp` or `ln`.

mod bernoulli;
#[cfg(feature = "cuda")]
mod cuda;
mod ln;
mod nt_xent;

pub use bernoulli::bernoulli_kl;
pub use nt_xent::nt_xent;
