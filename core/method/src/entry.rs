//! Registration: a [`MethodEntry`] is a method with its type erased.

use anyhow::Result;
use hashlab_data::RunFacts;
use hashlab_settings::{Schema, Settings, Violations, parse};

use crate::{AnyMethod, BuildContext, Definition, Fitted, MethodInfo, Trained, source};

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
        }
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
    let params = parse::<M::Params>(params).map_err(|broken| anyhow::anyhow!("{}: {broken}", M::INFO.name))?;
    M::build(params, cx)
}
