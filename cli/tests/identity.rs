//! Which settings name a run: over every registered method and every section that it heeds, each key but those that
//! change nothing under the values of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use hashlab_engine::sweep::{Overrides, load};
use hashlab_engine::{Catalog, DatasetDecl, MethodDecl, ProtocolDecl, RunId, Schema, Settings};
use hashlab_methods::METHODS;
use hashlab_model::Entry;
use hashlab_model::config::{BackboneConfig, EvalConfig, TrainConfig};
use hashlab_model::registry::schema_of;
use serde_json::{Value, json};

/// One method with the program's own sections, and a data set without settings.
fn catalog(method: MethodDecl) -> Catalog {
    let protocol = ProtocolDecl { name: "all".into(), description: "all items".into(), map_at: 10 };
    let none = Schema {
        defaults: Settings::new(),
        docs: BTreeMap::new(),
        check: Arc::new(|_| Ok(())),
        idle: Arc::new(|_| Vec::new()),
    };
    let toy = DatasetDecl {
        name: "toy".into(),
        title: "toys".into(),
        identity: "toy-v1".into(),
        settings: none,
        protocols: vec![protocol],
    };
    Catalog {
        methods: vec![method],
        datasets: vec![toy],
        backbone: schema_of::<BackboneConfig>(),
        train: schema_of::<TrainConfig>(),
        eval: schema_of::<EvalConfig>(),
    }
}

/// A section of an experiment with one method.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Section {
    Params,
    Train,
    Backbone,
}

impl Section {
    fn schema(self, catalog: &Catalog) -> &Schema {
        match self {
            Self::Params => &catalog.methods[0].params,
            Self::Train => &catalog.train,
            Self::Backbone => &catalog.backbone,
        }
    }

    /// The run under `settings` of this section and the defaults of the others.
    fn run(self, settings: &Settings, catalog: &Catalog) -> RunId {
        let (method, table) = (
            &catalog.methods[0].name,
            match self {
                Self::Params => "arm.params",
                Self::Train => "train",
                Self::Backbone => "backbone",
            },
        );
        // What an arm sets without effect is refused, so no run can be named by it.
        let idle = if self == Self::Params { (self.schema(catalog).idle)(settings) } else { Vec::new() };
        let heeded = settings.iter().filter(|(key, _)| !idle.contains(&key.as_str()));
        // A scalar is written in TOML as in JSON.
        let lines: String = heeded.map(|(key, value)| format!("{key} = {value}\n")).collect();
        let text = format!("dataset = \"toy\"\nbits = [16]\n[[arm]]\nmethod = \"{method}\"\n[{table}]\n{lines}");
        let overrides = Overrides { env: Vec::new(), set: Vec::new() };
        let experiment =
            load(&text, Path::new("toy.toml"), catalog, &overrides).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let plan = experiment.plan(&mut |section| {
            let mut section = section.clone();
            let weights = section.shift_remove("weights").ok_or("no weights")?;
            section.insert("digest".into(), weights);
            Ok(section)
        });
        plan.unwrap().runs.swap_remove(0).id
    }

    /// Whether a key can change a result under `settings`, by what the method is and what the section says itself.
    fn heeds(self, key: &str, settings: &Settings, catalog: &Catalog) -> bool {
        let method = &catalog.methods[0];
        let mut settings = settings.clone();
        let foreign: &[&str] = match self {
            Self::Params => &[],
            Self::Train if method.gradient => &[],
            Self::Train => return false,
            Self::Backbone if method.gradient => &[],
            Self::Backbone => &["finetune", "cut"],
        };
        settings.retain(|key, _| !foreign.contains(&key.as_str()));
        let unseen = self == Self::Backbone && key == "views" && !method.augmented;
        !unseen && settings.contains_key(key) && !(self.schema(catalog).idle)(&settings).contains(&key)
    }
}

/// The sound tables that differ from `settings` in `key` alone.
fn changed(settings: &Settings, key: &str, schema: &Schema) -> Vec<Settings> {
    let with = |value: Value| {
        let mut settings = settings.clone();
        settings.insert(key.to_owned(), value);
        settings
    };
    let values: Vec<Value> = match &settings[key] {
        Value::Bool(on) => vec![json!(!on)],
        Value::Number(n) if n.is_f64() => {
            let x = n.as_f64().unwrap();
            [x / 2.0, 2.0 * x, x + 0.25].map(Value::from).into()
        }
        Value::Number(n) => [1, -1].map(|by| json!(n.as_i64().unwrap() + by)).into(),
        // The refusal of a word that is none lists those that are.
        Value::String(_) => {
            let refusal = (schema.check)(&with(json!("?"))).err().map_or("mine".into(), |refusal| refusal.message);
            let words = refusal.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            words.map(Value::from).collect::<Vec<_>>()
        }
        other => panic!("`{key}` = {other}: say here how it may differ"),
    };
    let sound = |other: &Settings| other != settings && (schema.check)(other).is_ok();
    values.into_iter().map(with).filter(sound).collect()
}

/// Checks every key of a section, beside the defaults and beside each other value of each other key.
fn check(section: Section, catalog: &Catalog) {
    let schema = section.schema(catalog);
    let defaults = &schema.defaults;
    let others = defaults.keys().flat_map(|key| changed(defaults, key, schema));
    let mut varied = BTreeSet::new();
    for settings in [defaults.clone()].into_iter().chain(others) {
        let run = section.run(&settings, catalog);
        for key in defaults.keys() {
            for other in changed(&settings, key, schema) {
                varied.insert(key.clone());
                let matters = [&settings, &other].iter().any(|table| section.heeds(key, table, catalog));
                let differs = section.run(&other, catalog) != run;
                let method = &catalog.methods[0].name;
                assert_eq!(differs, matters, "{method}: `{key}` of {section:?} from {settings:?} to {}", other[key]);
            }
        }
    }
    assert_eq!(varied, defaults.keys().cloned().collect(), "every key has another value somewhere");
}

/// A method of each kind: no more than its kind decides which keys of a shared section it heeds.
fn kinds() -> impl Iterator<Item = &'static Entry> {
    let kind = |method: &Entry| (method.info.gradient, method.info.augmented);
    METHODS
        .iter()
        .enumerate()
        .filter(move |(at, method)| METHODS[..*at].iter().all(|m| kind(m) != kind(method)))
        .map(|(_, method)| method)
}

#[test]
fn a_run_is_named_by_the_hyperparameters_that_change_it() {
    for method in METHODS {
        check(Section::Params, &catalog(method.declare()));
    }
}

#[test]
fn a_run_is_named_by_the_training_that_changes_it() {
    for method in kinds() {
        check(Section::Train, &catalog(method.declare()));
    }
}

#[test]
fn a_run_is_named_by_the_backbone_that_changes_it() {
    for method in kinds() {
        check(Section::Backbone, &catalog(method.declare()));
    }
}
