//! Back-propagation that writes each weight gradient once.
//!
//! candle's `backward` adds every gradient to a tensor of zeros. For the weights of a dense layer, its largest
//! gradients, that is three extra passes over memory. Inside [`backward`] the layers of this crate put the gradients of
//! variables aside instead, and a variable that is used several times (once per augmented view) accumulates within the
//! matrix product itself.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

use crate::cpu;

/// Variables with the sums of their gradients.
type Deposits = Vec<(Tensor, Vec<f32>)>;

/// The same on a GPU, in its memory.
#[cfg(feature = "cuda")]
type Tensors = Vec<(Tensor, Tensor)>;

thread_local! {
    static SINK: RefCell<Option<Deposits>> = const { RefCell::new(None) };
    #[cfg(feature = "cuda")]
    static GPU_SINK: RefCell<Tensors> = const { RefCell::new(Vec::new()) };
}

/// Back-propagates from `loss` like `loss.backward()`, but faster through the layers of this crate.
///
/// The result holds the gradient of every variable that `loss` depends on.
///
/// # Errors
/// As candle's own `backward`.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let outer = SINK.replace(Some(Vec::new()));
    #[cfg(feature = "cuda")]
    let outer_tensors = GPU_SINK.take();
    let grads = loss.backward();
    #[cfg(feature = "cuda")]
    let tensors = GPU_SINK.replace(outer_tensors);
    let deposits = SINK.replace(outer).unwrap_or_default();
    let mut grads = grads?;
    for (variable, gradient) in deposits {
        let mut gradient = cpu::tensor(gradient, variable.shape())?;
        if let Some(other) = grads.remove(&variable) {
            gradient = gradient.add(&other)?;
        }
        grads.insert(&variable, gradient);
    }
    #[cfg(feature = "cuda")]
    for (variable, gradient) in tensors {
        let gradient = match grads.remove(&variable) {
            Some(other) => gradient.add(&other)?,
            None => gradient,
        };
        grads.insert(&variable, gradient);
    }
    Ok(grads)
}

/// [`deposit`] for a gradient on a GPU.
#[cfg(feature = "cuda")]
pub(crate) fn deposit_tensor(of: &Tensor, compute: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
    if !of.track_op() {
        return Ok(None);
    }
    let gradient = compute()?.detach();
    if !(SINK.with_borrow(Option::is_some) && of.is_variable()) {
        return Ok(Some(gradient));
    }
    let earlier = GPU_SINK.with_borrow_mut(|sink| {
        let index = sink.iter().position(|(other, _)| other.id() == of.id())?;
        Some(sink.swap_remove(index).1)
    });
    let sum = match earlier {
        Some(earlier) => earlier.add(&gradient)?,
        None => gradient,
    };
    GPU_SINK.with_borrow_mut(|sink| sink.push((of.clone(), sum)));
    Ok(None)
}

/// Adds the gradient of `of` to a running [`backward`], or returns it if there is none or `of` is not a variable.
///
/// `compute` gets the sum so far, if there is one, and returns the sum with this gradient; for a constant it is not
/// called.
pub(crate) fn deposit(of: &Tensor, compute: impl FnOnce(Option<Vec<f32>>) -> Vec<f32>) -> Result<Option<Tensor>> {
    if !of.track_op() {
        return Ok(None);
    }
    // The sink is not borrowed while `compute` runs: this thread may do other work while it waits for `compute`'s
    // threads.
    let running = SINK.with_borrow(Option::is_some);
    if !(running && of.is_variable()) {
        return cpu::tensor(compute(None), of.shape()).map(Some);
    }
    let sum = compute(take(of));
    SINK.with_borrow_mut(|sink| sink.get_or_insert_default().push((of.clone(), sum)));
    Ok(None)
}

/// Takes the sum of the gradients of `variable` out of the sink.
fn take(variable: &Tensor) -> Option<Vec<f32>> {
    SINK.with_borrow_mut(|sink| {
        let deposits = sink.as_mut()?;
        let index = deposits.iter().position(|(other, _)| other.id() == variable.id())?;
        Some(deposits.swap_remove(index).1)
    })
}
