//! Typed sections of an experiment file.
//!
//! A section (`[train]`, a method's `params`, a data set's `[data]`) is one flat struct that implements [`Params`]. Its
//! `Default` holds the default values, its doc comments are the users' documentation of the keys,
//! `#[schemars(range(…))]` and [`Params::check`] hold the rules. [`Schema`] is the section with its type erased.
//!
//! ```
//! use hashlab_settings::{Params, Schema, Violations};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Annealing {
//!     /// Temperature at the start.
//!     #[schemars(extend("exclusiveMinimum" = 0.0))]
//!     start: f64,
//!     /// Temperature at the end.
//!     end: f64,
//! }
//!
//! impl Default for Annealing {
//!     fn default() -> Self {
//!         Self { start: 1.0, end: 0.1 }
//!     }
//! }
//!
//! impl Params for Annealing {
//!     fn check(&self) -> Violations {
//!         Violations::none().require(self.end <= self.start, ["end", "start"], "`end` must not exceed `start`")
//!     }
//! }
//!
//! let schema = Schema::of::<Annealing>();
//! let mut settings = schema.defaults.clone();
//! settings.insert("start".into(), (-1.0).into());
//! let violations = schema.check(&settings);
//! assert_eq!(violations.iter().next().unwrap().message, "`start` must be above 0, got -1.0");
//! assert_eq!(schema.docs["end"], "Temperature at the end.");
//! assert_eq!(schema.value_type("end").unwrap().describe(), "a number");
//! ```

mod bounds;
mod schema;
mod suggest;
mod value_type;
mod violations;

pub use bounds::Bounds;
pub use schema::Schema;
pub use suggest::{did_you_mean, nearest};
pub use value_type::{Mismatch, ValueType};
pub use violations::{Violation, Violations};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A table of settings, in the order of their declaration.
pub type Settings = serde_json::Map<String, Value>;

/// The keys of a section: a flat struct with `#[serde(default, deny_unknown_fields)]`.
///
/// An optional key is an `Option`. Attributes hold the rules of a single key: its range in
/// `#[schemars(range(min = 1))]`, that of a list's elements in `#[schemars(inner(range(min = 1)))]`, and its users in
/// `#[schemars(extend("appliesTo" = "…"))]`.
pub trait Params: Default + Serialize + DeserializeOwned + JsonSchema + 'static {
    /// Checks the rules that the types and the ranges of single keys cannot express.
    fn check(&self) -> Violations {
        Violations::none()
    }

    /// Lists the keys that have no effect under these values, e.g. `momentum` if the optimizer has none. They are not
    /// part of a run's identity.
    fn inactive(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// A section without keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NoParams {}

impl Params for NoParams {}

/// Reads a section as its type; absent keys take their defaults.
///
/// # Errors
/// [`Violations`] of types, ranges and rules.
pub fn parse<T: Params>(settings: &Settings) -> Result<T, Violations> {
    parse_typed(&schema::types::<T>(), settings)
}

/// Reads a section whose keys have these types.
fn parse_typed<T: Params>(types: &BTreeMap<String, ValueType>, settings: &Settings) -> Result<T, Violations> {
    let violations = check_types(types, settings);
    if !violations.is_empty() {
        return Err(violations);
    }
    let value: T = serde_path_to_error::deserialize(Value::Object(settings.clone())).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        // The path of an unknown key is that key; serde's own message lists the known ones.
        let key = path.split(['.', '[']).next().filter(|key| *key != "?" && settings.contains_key(*key));
        match key {
            Some(key) => Violations::one([key], format!("`{key}`: {message}")),
            None => Violations::one([], message),
        }
    })?;
    // A struct with a flattened part cannot deny unknown fields itself.
    let unknown = unknown_keys(types, &value, settings);
    let violations = if unknown.is_empty() { value.check() } else { unknown };
    if violations.is_empty() { Ok(value) } else { Err(violations) }
}

/// Finds keys that the section does not have. A key that is in `value` but not in the schema, such as a digest that
/// planning adds, is known.
fn unknown_keys<T: Params>(types: &BTreeMap<String, ValueType>, value: &T, settings: &Settings) -> Violations {
    let known = || types.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let kept = serde_json::to_value(value).unwrap_or_default();
    let unknown = settings.keys().filter(|key| !types.contains_key(*key) && kept.get(key).is_none());
    unknown.fold(Violations::none(), |violations, key| {
        violations.and(Violations::one([key.as_str()], format!("unknown field `{key}`, expected one of {}", known())))
    })
}

/// Checks types and ranges of single keys. A `null` counts as a missing key.
fn check_types(types: &BTreeMap<String, ValueType>, settings: &Settings) -> Violations {
    let mut violations = Violations::none();
    for (key, value) in settings.iter().filter(|(_, value)| !value.is_null()) {
        for mismatch in types.get(key).and_then(|one| one.check(value).err()).unwrap_or_default() {
            let got = mismatch.path.iter().fold(value, |value, &at| &value[at]);
            let place: String = mismatch.path.iter().map(|at| format!("[{at}]")).collect();
            let message = format!("`{key}{place}` must be {}, got {got}", mismatch.requirement);
            violations = violations.and(Violations::one([key], message));
        }
    }
    violations
}

/// Renders JSON with sorted keys and without white space, so that equal values have equal text.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
            let pairs = sorted.iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
