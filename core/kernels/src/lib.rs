//! Numeric kernels: candle tensors in, tensors out.
//!
//! candle's CPU operations take two to four times as long as PyTorch's in the training of small heads and in
//! convolution. The operations here close that gap for f32 tensors on the CPU, and for f32 and bf16 on NVIDIA GPUs
//! where `cuda/` has a kernel; for every other type or device they fall back to the plain candle formulation.
//!
//! * [`linear()`], [`linear_relu`]: dense layers whose backward pass computes no gradient towards a constant input;
//! * [`backward()`]: back-propagation that writes weight gradients once;
//! * [`conv`]: dense and depthwise convolution, pooling and batch norm, for training and, with weights packed once, for
//!   inference;
//! * [`transformer`]: attention, layer norm and GELU;
//! * [`loss`]: contrastive loss and the divergence of bit probabilities;
//! * [`optim`]: optimizer steps in one pass over memory;
//! * [`device`]: devices by name;
//! * [`threads::serial`]: keeps a call on its own thread;
//! * [`keep_freed_memory`]: memory that a step frees stays with the process for the next one.
//!
//! Products run on the processor's matrix unit if it has one, as exactly as in f32. Results depend on the instruction
//! set of the processor but never on the number of threads. [`instructions`] has a variable that leaves the widest out.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use hashlab_kernels::linear;
//!
//! let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
//! let weight = Tensor::new(&[[1f32, 0.0], [0.5, 0.5], [0.0, -1.0]], &Device::Cpu)?;
//! let bias = Tensor::new(&[0f32, 1.0, 0.0], &Device::Cpu)?;
//! assert_eq!(linear(&x, &weight, Some(&bias))?.to_vec2::<f32>()?, [[1.0, 2.5, -2.0]]);
//! # Ok::<_, candle_core::Error>(())
//! ```
#![cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    allow(unused, unreachable_code, reason = "what serves the matrix unit alone")
)]
#![allow(unsafe_code, reason = "this crate is where the workspace keeps what safe Rust cannot express fast enough")]

mod accumulate;
mod activation;
mod backward;
pub mod conv;
mod cpu;
pub mod device;
mod gpu;
pub mod instructions;
mod linear;
pub mod loss;
mod matmul;
mod memory;
pub mod optim;
pub mod threads;
pub mod transformer;

pub use accumulate::{broadcast_add, select_rows, widen};
pub use backward::backward;
pub use linear::{linear, linear_relu};
pub use memory::keep_freed_memory;
