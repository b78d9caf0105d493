//! Registration: a [`MethodEntry`] is a method with its type erased.

use anyhow::{Context as _, Result};
use hashlab_data::RunFacts;
use hashlab_settings::{Schema, Settings, Violations, parse};

use crate::{AnyMethod, BuildContext, Definition, Fitted, MethodInfo, Stackable, Trained, source};

/// A registered method.
#[derive(Clone, Copy)]
pub struct MethodEntry {
    /// Facts about the method.
    pub info: &'static MethodInfo,
    /// Whether the method is trained by gradient steps; a shallow one is fitted in one call.
    pub deep: bool,
    source: &'static str,
    schema: fn() -> Schema,
    build: fn(&Settings, &BuildContext) -> Result<AnyMethod>,
    check: fn(&Settings, &RunFacts) -> Violations,
    stacking: Option<Stacking>,
}

/// Builds untrained runs stacked, given the hyperparameters of each.
type BuildStacked = fn(&[&Settings], &BuildContext) -> Result<Box<dyn Trained>>;

/// How runs of a method are stacked.
#[derive(Clone, Copy)]
struct Stacking {
    varied: &'static [&'static str],
    build: BuildStacked,
}

impl MethodEntry {
    /// Registers a shallow method.
    pub const fn fitted<M: Definition + Fitted>() -> Self {
        let build = |params: &Settings, cx: &BuildContext| Ok(AnyMethod::Fitted(Box::new(build::<M>(params, cx)?)));
        Self {
            info: &M::INFO,
            deep: false,
            source: M::SOURCE,
            schema: Schema::of::<M::Params>,
            build,
            check: check::<M>,
            stacking: None,
        }
    }

    /// Registers a deep method.
    pub const fn trained<M: Definition + Trained>() -> Self {
        let build = |params: &Settings, cx: &BuildContext| Ok(AnyMethod::Trained(Box::new(build::<M>(params, cx)?)));
        Self {
            info: &M::INFO,
            deep: true,
            source: M::SOURCE,
            schema: Schema::of::<M::Params>,
            build,
            check: check::<M>,
            stacking: None,
        }
    }

    /// Registers a deep method whose runs can be trained stacked.
    pub const fn stackable<M: Stackable>() -> Self {
        let build = |params: &[&Settings], cx: &BuildContext| {
            let params = params.iter().map(|params| params_of::<M>(params)).collect::<Result<_>>()?;
            Ok(Box::new(M::build_stacked(params, cx)?) as Box<dyn Trained>)
        };
        Self { stacking: Some(Stacking { varied: M::VARIED, build }), ..Self::trained::<M>() }
    }

    /// The hyperparameters that may differ between stacked runs; `None` if runs of the method cannot be stacked.
    pub fn varied(&self) -> Option<&'static [&'static str]> {
        self.stacking.map(|stacking| stacking.varied)
    }

    /// Builds untrained runs stacked: hyperparameters and seeds of `cx` have an element for each.
    ///
    /// # Errors
    /// As [`MethodEntry::build`], and if runs of the method cannot be stacked.
    pub fn build_stacked(&self, params: &[&Settings], cx: &BuildContext) -> Result<Box<dyn Trained>> {
        let stacking = self.stacking.with_context(|| format!("runs of {} cannot be stacked", self.info.name))?;
        (stacking.build)(params, cx)
    }

    /// The method's hyperparameters: defaults, documentation, rules.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// Digest of the method's source, without comments and tests.
    pub fn source_digest(&self) -> String {
        source::digest(self.source)
    }

    /// The text of the method's source.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// Builds the untrained method; hyperparameters that are absent take their defaults.
    ///
    /// # Errors
    /// If a hyperparameter is unknown, ill-typed or out of range, or does not fit the context.
    pub fn build(&self, params: &Settings, cx: &BuildContext) -> Result<AnyMethod> {
        (self.build)(params, cx)
    }

    /// Validates the hyperparameters against the facts of a planned run, see [`Definition::check`]. Hyperparameters
    /// that are absent take their defaults.
    pub fn check(&self, params: &Settings, run: &RunFacts) -> Violations {
        (self.check)(params, run)
    }
}

fn check<M: Definition>(params: &Settings, run: &RunFacts) -> Violations {
    parse::<M::Params>(params).map_or_else(|broken| broken, |params| M::check(&params, run))
}

fn build<M: Definition>(params: &Settings, cx: &BuildContext) -> Result<M> {
    M::build(params_of::<M>(params)?, cx)
}

fn params_of<M: Definition>(params: &Settings) -> Result<M::Params> {
    parse::<M::Params>(params).map_err(|broken| anyhow::anyhow!("{}: {broken}", M::INFO.name))
}
