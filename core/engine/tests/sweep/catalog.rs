//! An invented catalog: a gradient method with views, a closed-form method, a data set with two protocols.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashlab_engine::{Catalog, DatasetDecl, MethodDecl, ProtocolDecl, Schema, SchemaError, Settings};
use serde_json::{Value, json};

/// Declares both methods and the data set.
pub(crate) fn catalog() -> Catalog {
    Catalog {
        methods: vec![waves(), prism()],
        datasets: vec![DatasetDecl {
            name: "toy".to_owned(),
            title: "ten kinds of dots".to_owned(),
            identity: "toy-v1".to_owned(),
            settings: schema(json!({ "size": 1000, "folder": "" }), |_| Ok(())),
            protocols: vec![protocol("toy-1", 100), protocol("toy-2", 0)],
        }],
        backbone: Schema {
            // Planning has put a digest in the place of `weights`; one colour needs none.
            idle: Arc::new(|t| if has(t, "name", "grey") { vec!["digest"] } else { vec![] }),
            ..schema(json!({ "name": "tiny", "weights": "hub", "views": 2 }), |t| at_least(t, "views", 1))
        },
        train: train(),
        eval: schema(json!({ "map_at": -1, "curves": true }), |_| Ok(())),
    }
}

fn train() -> Schema {
    let defaults =
        json!({ "epochs": 100, "warmup": 10, "batch_size": 64, "rate": 0.001, "nesterov": false, "drops": [0.5] });
    let sound = |t: &Settings| {
        at_least(t, "epochs", 1)?;
        at_least(t, "batch_size", 1)?;
        let (epochs, warmup) = (t["epochs"].as_i64(), t["warmup"].as_i64());
        check(warmup <= epochs, Some("warmup"), "`warmup` must not exceed `epochs`")
    };
    let idle = |t: &Settings| if has(t, "nesterov", true) { vec!["warmup", "drops"] } else { vec![] };
    Schema { idle: Arc::new(idle), ..schema(defaults, sound) }
}

fn waves() -> MethodDecl {
    let sound = |t: &Settings| {
        check(t["tau"].as_f64() > Some(0.0), Some("tau"), "`tau` must be positive")?;
        at_least(t, "steps", 1)?;
        check(
            ["cosine", "hinge"].contains(&t["loss"].as_str().unwrap()),
            Some("loss"),
            "`loss` must be cosine or hinge",
        )?;
        check(t["low"].as_f64() < t["high"].as_f64(), None, "`low` must be below `high`")
    };
    let defaults = json!({ "tau": 0.3, "low": 0.1, "high": 0.9, "steps": 20, "loss": "cosine" });
    let idle = |t: &Settings| if has(t, "loss", "hinge") { vec!["low", "high"] } else { vec![] };
    let params = Schema { idle: Arc::new(idle), ..schema(defaults, sound) };
    method("waves", "Waves", true, params)
}

fn prism() -> MethodDecl {
    method("prism", "Prism", false, schema(json!({ "rounds": 50 }), |t| at_least(t, "rounds", 1)))
}

/// A method that is trained and augmented, or neither.
fn method(name: &str, title: &str, gradient: bool, params: Schema) -> MethodDecl {
    let (name, title, paper) = (name.to_owned(), title.to_owned(), "Nobody, 2000".to_owned());
    MethodDecl { name, title, paper, revision: 1, gradient, augmented: gradient, params }
}

fn protocol(name: &str, map_at: usize) -> ProtocolDecl {
    ProtocolDecl { name: name.to_owned(), description: format!("the protocol {name}"), map_at }
}

/// A section whose keys all matter.
fn schema(defaults: Value, check: impl Fn(&Settings) -> Result<(), SchemaError> + Send + Sync + 'static) -> Schema {
    let Value::Object(defaults) = defaults else { panic!("defaults are a table") };
    Schema { defaults, docs: BTreeMap::new(), check: Arc::new(check), idle: Arc::new(|_| Vec::new()) }
}

/// Whether a section, which may be empty, holds a value.
fn has(table: &Settings, key: &str, value: impl Into<Value>) -> bool {
    table.get(key) == Some(&value.into())
}

fn at_least(table: &Settings, key: &str, least: i64) -> Result<(), SchemaError> {
    check(table[key].as_i64() >= Some(least), Some(key), &format!("`{key}` must be at least {least}"))
}

fn check(holds: bool, key: Option<&str>, message: &str) -> Result<(), SchemaError> {
    let error = || SchemaError { key: key.map(str::to_owned), message: message.to_owned() };
    if holds { Ok(()) } else { Err(error()) }
}
