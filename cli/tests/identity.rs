//! Identities of runs: a run ID changes if and only if a setting that can affect the result changes.
//!
//! Every key of every registered method's hyperparameters, and of the shared sections, is varied beside the defaults and
//! beside each other value of each other key. `known_ids.txt` holds the IDs of a plan of all methods, so that a version
//! that renames users' runs is noticed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use hashlab::Registry;
use hashlab_data::{ByModality, DataDirs, DataKind, Modality};
use hashlab_method::MethodEntry;
use hashlab_methods::METHODS;
use hashlab_settings::{NoParams, Schema, Settings, ValueType};
use hashlab_store::RunId;
use hashlab_sweep::{Catalog, DatasetDecl, DatasetDescription, Overrides, Plan, ProtocolDecl, load};
use serde_json::{Value, json};

const REGISTRY: Registry = Registry {
    methods: METHODS,
    datasets: hashlab_datasets::DATASETS,
    encoders: hashlab_encoders::ENCODERS,
    published: &[],
};

/// One method with the program's own sections, and a data set without settings. It has the modalities that the method
/// needs: items for the encoder of `encoded`, and features for others.
fn catalog(method: &MethodEntry, encoded: Modality) -> Catalog {
    let kind = |modality: Modality| if modality == Modality::Text { DataKind::Texts } else { DataKind::Pixels };
    let mut modalities = ByModality::one(encoded, kind(encoded));
    for &other in method.info.needs.fixed().unwrap_or_default() {
        modalities.insert(other, kind(other));
    }
    let mut catalog = REGISTRY.catalog(&DataDirs::of(Vec::new()));
    catalog.methods.retain(|known| known.name == method.info.name);
    let toy = DatasetDescription {
        identity: "toy-v1".into(),
        modalities,
        protocols: vec![ProtocolDecl { name: "all".into(), description: "all items".into(), map_at: Some(10) }],
    };
    catalog.datasets = vec![DatasetDecl {
        name: "toy".into(),
        title: "Toys".into(),
        settings: Schema::of::<NoParams>(),
        describe: Arc::new(move |_| Ok(toy.clone())),
        train_items: Arc::new(|_, _, _| Ok(None)),
    }];
    catalog
}

fn planned(text: &str, catalog: &Catalog) -> Plan {
    let experiment = load(text, Path::new("toy.toml"), catalog, &Overrides::default());
    let experiment = experiment.unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    let plan = experiment.plan(&mut |_, section| {
        let mut section = section.clone();
        for (name, digest) in [("weights", "digest"), ("tokenizer", "tokenizer_digest")] {
            if let Some(file) = section.shift_remove(name).filter(|file| !file.is_null()) {
                section.insert(digest.into(), file);
            }
        }
        Ok(section)
    });
    plan.unwrap()
}

/// A section of an experiment with one method.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Section {
    Params,
    Train,
    Image,
    Text,
}

impl Section {
    fn schema(self, catalog: &Catalog) -> &Schema {
        match self {
            Self::Params => &catalog.methods[0].params,
            Self::Train => &catalog.train,
            Self::Image => catalog.encoders.get(Modality::Image).unwrap(),
            Self::Text => catalog.encoders.get(Modality::Text).unwrap(),
        }
    }

    /// The defaults, with an encoder where there is none by default.
    fn base(self, catalog: &Catalog) -> Settings {
        let mut base = self.schema(catalog).defaults.clone();
        if self == Self::Text {
            base.insert("encoder".to_owned(), "minilm".into());
        }
        base
    }

    /// The run under `settings` of this section and the defaults of the others.
    fn run(self, settings: &Settings, catalog: &Catalog) -> RunId {
        let table = match self {
            Self::Params => "method.params",
            Self::Train => "train",
            Self::Image => "image",
            Self::Text => "text",
        };
        // What a method sets without effect is refused, so no run can be named by it.
        let inactive = if self == Self::Params { self.schema(catalog).inactive(settings) } else { Vec::new() };
        let written = settings.iter().filter(|(key, value)| !inactive.contains(&key.as_str()) && !value.is_null());
        // Scalars and lists are written in TOML as in JSON.
        let lines: String = written.map(|(key, value)| format!("{key} = {value}\n")).collect();
        let name = &catalog.methods[0].name;
        let other = self.other(settings, catalog);
        let text = format!("dataset = \"toy\"\nbits = [16]\n[[method]]\nname = \"{name}\"\n[{table}]\n{lines}{other}");
        planned(&text, catalog).runs.swap_remove(0).id
    }

    /// The encoder of the other modality of a method that needs both. It is trained if the one of this section is. Beside
    /// `[train]` all are, as `devices` divides their work.
    fn other(self, settings: &Settings, catalog: &Catalog) -> String {
        let finetune = settings.get("finetune").and_then(Value::as_bool).unwrap_or_default();
        match self {
            Self::Train if catalog.methods[0].deep => {
                let image = "[image]\nfinetune = true\n".to_owned();
                let both = catalog.methods[0].needs.fixed().is_some();
                if both { image + "[text]\nencoder = \"minilm\"\nfinetune = true\n" } else { image }
            }
            _ if catalog.methods[0].needs.fixed().is_none() => String::new(),
            Self::Text => format!("[image]\nfinetune = {finetune}\n"),
            _ => format!("[text]\nencoder = \"minilm\"\nfinetune = {finetune}\n"),
        }
    }

    /// Whether a key can change a result under `settings`, by what the method is and what the section says itself.
    fn matters(self, key: &str, settings: &Settings, catalog: &Catalog) -> bool {
        let method = &catalog.methods[0];
        let mut settings = settings.clone();
        let foreign: &[&str] = match self {
            Self::Params => &[],
            Self::Train if method.deep => &[],
            Self::Train => return false,
            Self::Image | Self::Text if method.deep => &[],
            Self::Image | Self::Text => &["finetune", "frozen_until"],
        };
        settings.retain(|key, _| !foreign.contains(&key.as_str()));
        let unread = self == Self::Image && key == "views" && !method.augmented;
        !unread && settings.contains_key(key) && !self.schema(catalog).inactive(&settings).contains(&key)
    }
}

/// The valid tables that differ from `settings` in `key` alone.
fn changed(settings: &Settings, key: &str, schema: &Schema) -> Vec<Settings> {
    let with = |value: Value| {
        let mut settings = settings.clone();
        settings.insert(key.to_owned(), value);
        settings
    };
    let now = &settings[key];
    let mut values: Vec<Value> = match schema.value_type(key).unwrap() {
        ValueType::Boolean => vec![json!(true), json!(false)],
        ValueType::Integer(_) => {
            let n = now.as_i64().unwrap_or(50);
            vec![json!(n + 1), json!(n - 1)]
        }
        ValueType::Number(_) => {
            let x = now.as_f64().unwrap_or(0.5);
            [x / 2.0, 2.0 * x, x + 0.25].map(Value::from).into()
        }
        ValueType::Choice(words) => words.iter().map(|word| json!(word)).collect(),
        // The refusal of a name that is none lists those that are.
        ValueType::Text => {
            let refusal = schema.check(&with(json!("?"))).to_string();
            let words = refusal.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            words.chain(["mine"]).map(Value::from).collect()
        }
        ValueType::List { .. } => match now.as_array().unwrap().split_last() {
            None => vec![json!([2]), json!([2, 5])],
            Some((last, others)) if last.is_f64() => {
                vec![json!([others, &[json!(last.as_f64().unwrap() / 2.0)]].concat())]
            }
            Some((last, others)) => vec![json!([others, &[json!(last.as_i64().unwrap() + 1)]].concat())],
        },
        other => panic!("`{key}` is {}: say here how it may differ", other.describe()),
    };
    if schema.defaults[key].is_null() {
        values.push(Value::Null); // not set
    }
    // Pixels and texts need an encoder.
    let pixels = |other: &Settings| key != "encoder" || other[key] != "none";
    let valid = |other: &Settings| other != settings && pixels(other) && schema.check(other).is_empty();
    values.into_iter().map(with).filter(valid).collect()
}

/// Checks every key of a section, beside the defaults and beside each other value of each other key.
fn check(section: Section, catalog: &Catalog) {
    let schema = section.schema(catalog);
    let defaults = &section.base(catalog);
    let others = defaults.keys().flat_map(|key| changed(defaults, key, schema));
    let mut varied = BTreeSet::new();
    for settings in [defaults.clone()].into_iter().chain(others) {
        let run = section.run(&settings, catalog);
        for key in defaults.keys() {
            for other in changed(&settings, key, schema) {
                varied.insert(key.clone());
                let matters = [&settings, &other].iter().any(|table| section.matters(key, table, catalog));
                let differs = section.run(&other, catalog) != run;
                let method = &catalog.methods[0].name;
                assert_eq!(differs, matters, "{method}: `{key}` of {section:?} from {settings:?} to {}", other[key]);
            }
        }
    }
    assert_eq!(varied, defaults.keys().cloned().collect(), "every key has another value somewhere");
}

/// A method of each kind: no more than its kind decides which keys of a shared section it reads.
fn kinds() -> impl Iterator<Item = &'static MethodEntry> {
    let kind = |method: &MethodEntry| (method.deep, method.info.augmented);
    METHODS
        .iter()
        .enumerate()
        .filter(move |(at, method)| METHODS[..*at].iter().all(|m| kind(m) != kind(method)))
        .map(|(_, method)| method)
}

#[test]
fn a_run_is_named_by_the_hyperparameters_that_change_it() {
    for method in METHODS {
        check(Section::Params, &catalog(method, Modality::Image));
    }
}

#[test]
fn a_run_is_named_by_the_training_that_changes_it() {
    for method in kinds() {
        check(Section::Train, &catalog(method, Modality::Image));
    }
}

#[test]
fn a_run_is_named_by_the_encoder_that_changes_it() {
    for method in kinds() {
        check(Section::Image, &catalog(method, Modality::Image));
    }
}

#[test]
fn a_run_is_named_by_the_encoder_of_texts_that_changes_it() {
    for method in kinds() {
        check(Section::Text, &catalog(method, Modality::Text));
    }
}

/// All methods by their defaults on each data set that they fit, and settings of every section.
#[test]
fn runs_have_the_ids_that_are_written_down() {
    let catalog = REGISTRY.catalog(&DataDirs::of(Vec::new()));
    let tables = |both: bool| -> String {
        let methods = METHODS.iter().filter(|method| method.info.needs.fixed().is_some() == both);
        methods.map(|method| format!("[[method]]\nname = \"{}\"\n", method.info.name)).collect()
    };
    let (all, both) = (tables(false), tables(true));
    let files = [
        format!("dataset = \"shapes\"\nbits = [16]\n{all}"),
        format!("dataset = \"cifar10\"\nbits = [32]\nseeds = [1]\n{all}"),
        "dataset = \"shapes\"\nbits = [64]\nseeds = [2]\nsplit_seed = 3\n[data]\nitems = 500\n\
         [image]\nencoder = \"mobilenet_v2\"\nweights = \"0a1b2c3d\"\nviews = 4\n\
         [train]\nepochs = 5\n[eval]\nmap_at = 100\n\
         [[method]]\nname = \"cibhash\"\nparams = { tau = 0.2 }\n[[method]]\nname = \"lsh\"\n"
            .to_owned(),
        "dataset = \"shapes\"\nbits = [32]\nseeds = [4]\n\
         [text]\nencoder = \"minilm\"\nweights = \"0a1b2c3d\"\ntokenizer = \"4e5f6a7b\"\npooling = \"first\"\nmax_tokens = 64\n\
         [[method]]\nname = \"itq\"\n[[method]]\nname = \"cibhash\"\ntext = { finetune = true }\n"
            .to_owned()
            + &both,
    ];
    let runs = files.iter().flat_map(|file| planned(file, &catalog).runs);
    let ids: BTreeSet<String> = runs.map(|run| format!("{} {}", run.id, run.template().dataset)).collect();
    let known: BTreeSet<String> = include_str!("known_ids.txt").lines().map(str::to_owned).collect();
    let changed: Vec<&String> = known.difference(&ids).collect();
    assert!(changed.is_empty(), "users would have to execute these runs again: {changed:#?}");
}
