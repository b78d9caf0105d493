//! A section with its type erased.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::{Params, Settings, ValueType, Violations, parse_typed};

type Check = Arc<dyn Fn(&Settings) -> Violations + Send + Sync>;
type Inactive = Arc<dyn Fn(&Settings) -> Vec<&'static str> + Send + Sync>;

/// The keys of a section: defaults, types, documentation and rules.
#[derive(Clone)]
pub struct Schema {
    /// Every key with its default, in the order of declaration. Other keys are unknown. The default of an `Option` that
    /// is `None` is `null`: a file leaves the key out.
    pub defaults: Settings,
    /// A sentence or two per key: meaning, unit, source of the default.
    pub docs: BTreeMap<String, String>,
    /// The section as JSON Schema, for editors.
    pub json: Value,
    types: BTreeMap<String, ValueType>,
    applies_to: BTreeMap<String, String>,
    check: Check,
    inactive: Inactive,
}

impl Schema {
    /// Derives the schema of a section from its type.
    pub fn of<T: Params>() -> Self {
        let types = types::<T>();
        Self {
            defaults: defaults::<T>(),
            json: schema_for!(T).to_value(),
            docs: properties::<T, _>(|property, _| Some(documentation(property))),
            types: (*types).clone(),
            applies_to: properties::<T, _>(|property, _| Some(property.get("appliesTo")?.as_str()?.to_owned())),
            check: Arc::new(move |settings| parse_typed::<T>(&types, settings).err().unwrap_or_default()),
            inactive: Arc::new(|settings| {
                serde_json::from_value(settings.clone().into()).map(|value: T| value.inactive()).unwrap_or_default()
            }),
        }
    }

    /// Adds rules that depend on more than the section's type, such as on the registry. They get valid tables only,
    /// with every key.
    #[must_use]
    pub fn with_rules(self, rules: impl Fn(&Settings) -> Violations + Send + Sync + 'static) -> Self {
        let (check, defaults) = (self.check.clone(), self.defaults.clone());
        let check = move |settings: &Settings| {
            let broken = check(settings);
            if !broken.is_empty() {
                return broken;
            }
            let mut complete = defaults.clone();
            complete.extend(settings.clone());
            rules(&complete)
        };
        Self { check: Arc::new(check), ..self }
    }

    /// Adds keys that have no effect under the values of others.
    #[must_use]
    pub fn with_inactive(self, more: impl Fn(&Settings) -> Vec<&'static str> + Send + Sync + 'static) -> Self {
        let inactive = self.inactive.clone();
        let inactive = move |settings: &Settings| {
            let mut keys = inactive(settings);
            keys.extend(more(settings));
            keys
        };
        Self { inactive: Arc::new(inactive), ..self }
    }

    /// Finds every violated rule of a complete or partial table: types first, then ranges and constraints between keys.
    pub fn check(&self, settings: &Settings) -> Violations {
        (self.check)(settings)
    }

    /// Lists the keys of a complete table that have no effect under its other values.
    pub fn inactive(&self, settings: &Settings) -> Vec<&'static str> {
        (self.inactive)(settings)
    }

    /// The settings that differ from their defaults.
    pub fn changed(&self, settings: &Settings) -> Settings {
        let differs = |(key, value): &(&String, &Value)| self.defaults.get(*key) != Some(*value);
        settings.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The type of a key; `None` if the key is unknown.
    pub fn value_type(&self, key: &str) -> Option<&ValueType> {
        self.defaults.contains_key(key).then(|| self.types.get(key).unwrap_or(&ValueType::Any))
    }

    /// The word in `#[schemars(extend("appliesTo" = "…"))]` of a key: the users of the section to which it applies. A
    /// key without one applies to all.
    pub fn applies_to(&self, key: &str) -> Option<&str> {
        self.applies_to.get(key).map(String::as_str)
    }

    /// The default of a key as a file writes it, `not set` for a key that is left out; `None` if the key is unknown.
    pub fn default_text(&self, key: &str) -> Option<String> {
        match self.defaults.get(key)? {
            Value::Null => Some("not set".to_owned()),
            value => Some(value.to_string()),
        }
    }
}

fn defaults<T: Params>() -> Settings {
    match serde_json::to_value(T::default()).expect("settings are plain data") {
        Value::Object(map) => map,
        other => unreachable!("settings serialize to a table, not {other}"),
    }
}

/// The types of a section's keys. They are derived once: planning asks for them at every point of a grid.
pub(crate) fn types<T: JsonSchema + 'static>() -> Arc<BTreeMap<String, ValueType>> {
    static KNOWN: Mutex<BTreeMap<TypeId, Arc<BTreeMap<String, ValueType>>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let derived = || Arc::new(properties::<T, _>(|property, root| Some(ValueType::of(property, root))));
    Arc::clone(known.entry(TypeId::of::<T>()).or_insert_with(derived))
}

/// The results of `read` for the schema of each key.
fn properties<T: JsonSchema, R>(read: impl Fn(&Value, &Value) -> Option<R>) -> BTreeMap<String, R> {
    let root = schema_for!(T).to_value();
    let properties = root.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().filter_map(|(key, property)| Some((key.clone(), read(property, &root)?))).collect()
}

/// A key's doc comment, line breaks folded.
fn documentation(property: &Value) -> String {
    let description = property.get("description").and_then(Value::as_str).unwrap_or_default();
    description.split_whitespace().collect::<Vec<_>>().join(" ")
}
