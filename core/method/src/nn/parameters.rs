//! A method's trainable variables and buffers, by name.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::{DType, Shape, Tensor, Var};
use hashlab_rng::Stream;

use crate::{BuildContext, State};

/// Trainable variables in the order of their names. Each is initialized from a stream named after it, so adding one
/// variable changes no other. Buffers are further tensors that training changes without gradients, such as running
/// means.
///
/// Where the context is that of stacked runs, variables and buffers get a first axis of runs, and each run starts as it
/// starts alone; what [`Parameters::tensor`] copies must have that axis.
#[derive(Clone, Default)]
pub struct Parameters {
    vars: BTreeMap<String, Var>,
    buffers: BTreeMap<String, Var>,
}

impl Parameters {
    /// Adds a variable with entries drawn from U(−`bound`, `bound`).
    ///
    /// # Errors
    /// If the device is out of memory.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn uniform(&mut self, name: &str, shape: impl Into<Shape>, bound: f64, cx: &BuildContext) -> Result<Var> {
        self.drawn(name, shape, cx, |rng| rng.uniform_in(-bound, bound) as f32)
    }

    /// Adds a variable with entries drawn from N(0, `deviation`²).
    ///
    /// # Errors
    /// If the device is out of memory.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn normal(&mut self, name: &str, shape: impl Into<Shape>, deviation: f64, cx: &BuildContext) -> Result<Var> {
        self.drawn(name, shape, cx, |rng| (deviation * rng.normal()) as f32)
    }

    fn drawn(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        cx: &BuildContext,
        draw: impl FnMut(&mut Stream) -> f32,
    ) -> Result<Var> {
        let start = cx.draws(&format!("init/{name}")).tensor(cx.stacked(shape), &cx.device, draw)?;
        self.insert(name, Var::from_tensor(&start)?)
    }

    /// Adds a variable that starts at 0.
    ///
    /// # Errors
    /// If the device is out of memory.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn zeros(&mut self, name: &str, shape: impl Into<Shape>, cx: &BuildContext) -> Result<Var> {
        self.insert(name, Var::zeros(cx.stacked(shape), DType::F32, &cx.device)?)
    }

    /// Adds a variable that starts as a copy of `start`.
    ///
    /// # Errors
    /// If the device is out of memory.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn tensor(&mut self, name: &str, start: &Tensor) -> Result<Var> {
        self.insert(name, Var::from_tensor(&start.copy()?)?)
    }

    /// Adds a variable that starts at 1.
    ///
    /// # Errors
    /// If the device is out of memory.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn ones(&mut self, name: &str, shape: impl Into<Shape>, cx: &BuildContext) -> Result<Var> {
        self.insert(name, Var::ones(cx.stacked(shape), DType::F32, &cx.device)?)
    }

    /// Adds a buffer whose entries start at `value`.
    ///
    /// # Errors
    /// If the device is out of memory.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn buffer(&mut self, name: &str, shape: impl Into<Shape>, value: f32, cx: &BuildContext) -> Result<Var> {
        let var = Var::from_tensor(&Tensor::full(value, cx.stacked(shape), &cx.device)?)?;
        assert!(!self.is_taken(name), "two parameters are called `{name}`");
        self.buffers.insert(name.to_owned(), var.clone());
        Ok(var)
    }

    fn insert(&mut self, name: &str, var: Var) -> Result<Var> {
        assert!(!self.is_taken(name), "two parameters are called `{name}`");
        self.vars.insert(name.to_owned(), var.clone());
        Ok(var)
    }

    fn is_taken(&self, name: &str) -> bool {
        self.vars.contains_key(name) || self.buffers.contains_key(name)
    }

    /// Copies the values of the variables under the prefix `from` to those under `to`.
    ///
    /// # Errors
    /// If `to` lacks one, or its shape is another.
    pub fn copy(&self, from: &str, to: &str) -> Result<()> {
        for (name, var) in &self.vars {
            let Some(rest) = name.strip_prefix(from) else { continue };
            let target = self.vars.get(&format!("{to}{rest}"));
            target.with_context(|| format!("there is no `{to}{rest}`"))?.set(&var.as_detached_tensor())?;
        }
        Ok(())
    }

    /// All variables with their names.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The variables whose names begin with one of `prefixes`.
    pub fn vars_of(&self, prefixes: &[&str]) -> Vec<(String, Var)> {
        let chosen = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        self.vars().into_iter().filter(|(name, _)| chosen(name)).collect()
    }

    /// Variables and buffers.
    fn all(&self) -> impl Iterator<Item = (&String, &Var)> {
        self.vars.iter().chain(&self.buffers)
    }

    /// Copies the values of variables and buffers.
    ///
    /// # Errors
    /// If a value cannot be copied on its device.
    pub fn state(&self) -> Result<State> {
        self.all().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
    }

    /// Restores [`Parameters::state`]: all tensors, or none if one does not fit.
    ///
    /// # Errors
    /// On a missing, extra or misshapen tensor, or one of another type.
    pub fn load(&self, state: &State) -> Result<()> {
        refuse_extra(state, |name| self.is_taken(name))?;
        for (name, var) in self.all() {
            let (found, expected) = (expect(state, name, var.shape())?.dtype(), var.dtype());
            ensure!(found == expected, "`{name}` is of type {found:?}, expected {expected:?}");
        }
        self.all().try_for_each(|(name, var)| Ok(var.set(&state[name])?))
    }
}

/// Looks up all tensors of a state, by name and shape.
///
/// # Errors
/// On a missing, extra or misshapen tensor.
pub fn expect_all<const N: usize>(state: &State, tensors: [(&str, &Shape); N]) -> Result<[Tensor; N]> {
    refuse_extra(state, |name| tensors.iter().any(|tensor| tensor.0 == name))?;
    for (name, shape) in tensors {
        expect(state, name, shape)?;
    }
    Ok(tensors.map(|(name, _)| state[name].clone()))
}

fn refuse_extra(state: &State, known: impl Fn(&str) -> bool) -> Result<()> {
    match state.keys().find(|name| !known(name)) {
        Some(extra) => bail!("the state holds `{extra}`, which this method does not have"),
        None => Ok(()),
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
