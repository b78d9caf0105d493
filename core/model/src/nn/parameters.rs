//! A method's trainable variables, by name.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use candle_core::{Shape, Tensor, Var};

use crate::method::{BuildContext, State};

/// Trainable variables in the order of their names. Each draws its start from a stream named after it, so adding
/// one variable changes no other.
#[derive(Clone, Default)]
pub struct Parameters(BTreeMap<String, Var>);

impl Parameters {
    /// Adds a variable with entries drawn from U(−`bound`, `bound`).
    ///
    /// # Errors
    /// If the device has no room for it.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn uniform(&mut self, name: &str, shape: impl Into<Shape>, bound: f64, cx: &BuildContext) -> Result<Var> {
        let shape = shape.into();
        let mut rng = cx.stream(&format!("init/{name}"));
        let values: Vec<f32> = (0..shape.elem_count()).map(|_| rng.uniform_in(-bound, bound) as f32).collect();
        self.insert(name, Var::from_vec(values, shape, &cx.device)?)
    }

    /// Adds a variable with entries drawn from N(0, `deviation`²).
    ///
    /// # Errors
    /// If the device has no room for it.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn normal(&mut self, name: &str, shape: impl Into<Shape>, deviation: f64, cx: &BuildContext) -> Result<Var> {
        let shape = shape.into();
        let mut rng = cx.stream(&format!("init/{name}"));
        let values: Vec<f32> = (0..shape.elem_count()).map(|_| (deviation * rng.normal()) as f32).collect();
        self.insert(name, Var::from_vec(values, shape, &cx.device)?)
    }

    fn insert(&mut self, name: &str, var: Var) -> Result<Var> {
        let previous = self.0.insert(name.to_owned(), var.clone());
        assert!(previous.is_none(), "two parameters are called `{name}`");
        Ok(var)
    }

    /// All variables with their names.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.0.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// Copies the values.
    ///
    /// # Errors
    /// If a value cannot be copied on its device.
    pub fn state(&self) -> Result<State> {
        self.0.iter().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
    }

    /// Restores [`Parameters::state`].
    ///
    /// # Errors
    /// On a missing, extra or misshapen tensor.
    pub fn load(&self, state: &State) -> Result<()> {
        if let Some(extra) = state.keys().find(|name| !self.0.contains_key(*name)) {
            bail!("the state holds `{extra}`, which this method does not have");
        }
        for (name, var) in &self.0 {
            var.set(expect(state, name, var.shape())?)?;
        }
        Ok(())
    }
}

/// Looks a tensor of known shape up.
///
/// # Errors
/// If it is missing or misshapen.
pub fn expect<'a>(state: &'a State, name: &str, shape: &Shape) -> Result<&'a Tensor> {
    match state.get(name) {
        None => bail!("the state lacks `{name}`"),
        Some(t) if t.shape() != shape => bail!("`{name}` has shape {:?}, expected {shape:?}", t.shape()),
        Some(t) => Ok(t),
    }
}
