//! Registration: an [`Entry`] is a method with its types erased.

use std::collections::BTreeMap;

use anyhow::Result;
use hashlab_engine::{MethodDecl, Schema, SchemaError, Settings};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

use crate::method::{BuildContext, HashMethod, Info, Params, Plugin};

/// A registered method.
#[derive(Clone, Copy)]
pub struct Entry {
    /// What the method is.
    pub info: &'static Info,
    schema: fn() -> Schema,
    build: fn(&Settings, &BuildContext) -> Result<Box<dyn HashMethod>>,
}

impl Entry {
    /// Registers `P`.
    pub const fn of<P: Plugin>() -> Self {
        Self { info: &P::INFO, schema: schema_of::<P::Params>, build: build::<P> }
    }

    /// The method's hyperparameters: defaults, documentation, rules.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// Builds the untrained method from a complete or partial table of hyperparameters.
    ///
    /// # Errors
    /// If a hyperparameter is unknown, ill-typed or out of range, or does not fit the context.
    pub fn build(&self, params: &Settings, cx: &BuildContext) -> Result<Box<dyn HashMethod>> {
        (self.build)(params, cx)
    }

    /// Declares the method to the engine.
    pub fn declare(&self) -> MethodDecl {
        MethodDecl {
            name: self.info.name.to_owned(),
            title: self.info.title.to_owned(),
            paper: self.info.paper.to_owned(),
            revision: self.info.revision,
            gradient: self.info.gradient,
            augmented: self.info.augmented,
            params: self.schema(),
        }
    }
}

fn build<P: Plugin>(params: &Settings, cx: &BuildContext) -> Result<Box<dyn HashMethod>> {
    let params: P::Params = parse(params).map_err(|e| anyhow::anyhow!("{}: {}", P::INFO.name, e.message))?;
    Ok(Box::new(P::build(params, cx)?))
}

/// Derives a section's schema from its type: defaults from `Default`, documentation from doc comments.
pub fn schema_of<T: Params>() -> Schema {
    Schema {
        defaults: defaults::<T>(),
        docs: docs::<T>(),
        check: Arc::new(|settings| parse::<T>(settings).map(|_| ())),
        idle: Arc::new(|settings| parse::<T>(settings).map(|value| value.idle()).unwrap_or_default()),
    }
}

fn parse<T: Params>(settings: &Settings) -> Result<T, SchemaError> {
    let fail = |message: String| SchemaError { key: None, message };
    let value: T = serde_json::from_value(settings.clone().into()).map_err(|e| fail(e.to_string()))?;
    value.check().map_err(fail)?;
    Ok(value)
}

fn defaults<T: Default + Serialize + DeserializeOwned>() -> Settings {
    match serde_json::to_value(T::default()).expect("settings are plain data") {
        serde_json::Value::Object(map) => map,
        other => unreachable!("settings serialise to a table, not {other}"),
    }
}

/// The doc comments of a type's fields, line breaks folded.
fn docs<T: JsonSchema>() -> BTreeMap<String, String> {
    let schema = schemars::schema_for!(T);
    let properties = schema.get("properties").and_then(|p| p.as_object()).cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| {
        let description = value.get("description")?.as_str()?;
        Some(description.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    properties.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}
