//! Back-propagation that writes each weight gradient once.
//!
//! candle's `backward` adds every gradient to a tensor of zeros. For the weights of a dense layer, its largest gradients,
//! that is three extra passes over memory. Inside [`backward`] the layers of this crate put the gradients of variables
//! aside instead, and a variable that is used several times (once per augmented view) accumulates within the matrix
//! product itself.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

use crate::cpu;

thread_local! {
    static SINK: RefCell<Option<Vec<(Tensor, Vec<f32>)>>> = const { RefCell::new(None) };
}

/// Back-propagates from `loss` like `loss.backward()`, and faster through the layers of this crate.
///
/// The result holds the gradient of every variable that `loss` depends on.
///
/// # Errors
/// Those of candle's own `backward`.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let outer = SINK.replace(Some(Vec::new()));
    let grads = loss.backward();
    let deposits = SINK.replace(outer).unwrap_or_default();
    let mut grads = grads?;
    for (variable, gradient) in deposits {
        let mut gradient = cpu::tensor(gradient, variable.shape())?;
        if let Some(other) = grads.remove(&variable) {
            gradient = gradient.add(&other)?;
        }
        grads.insert(&variable, gradient);
    }
    Ok(grads)
}

/// Hands the gradient of `of` to a running [`backward`], or returns it if there is none or `of` is no variable.
///
/// `compute` gets the sum so far, if there is one, and returns the sum with this gradient.
pub(crate) fn deposit(of: &Tensor, compute: impl FnOnce(Option<Vec<f32>>) -> Vec<f32>) -> Result<Option<Tensor>> {
    SINK.with_borrow_mut(|sink| match sink {
        Some(deposits) if of.is_variable() => {
            match deposits.iter_mut().find(|(variable, _)| variable.id() == of.id()) {
                Some((_, sum)) => *sum = compute(Some(std::mem::take(sum))),
                None => deposits.push((of.clone(), compute(None))),
            }
            Ok(None)
        }
        _ => cpu::tensor(compute(None), of.shape()).map(Some),
    })
}
