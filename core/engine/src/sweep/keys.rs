//! Which keys there are, and the types of their values.

use serde_json::{Value, json};

use super::diagnose::{Mistake, Place, did_you_mean};
use super::layer::{Section, Setting};
use super::tree::{Kind, Node};
use crate::{Catalog, DatasetDecl, MethodDecl, Schema, Settings};

/// The declarations that settings are checked against.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) catalog: &'a Catalog,
    /// None while the experiment names none that exists; `[data]` is not checked then.
    pub(crate) dataset: Option<&'a DatasetDecl>,
    /// None outside of arms.
    pub(crate) method: Option<&'a MethodDecl>,
}

impl<'a> Scope<'a> {
    pub(crate) fn schema(self, section: Section) -> Option<&'a Schema> {
        match section {
            Section::Data => self.dataset.map(|d| &d.settings),
            Section::Backbone => Some(&self.catalog.backbone),
            Section::Train => Some(&self.catalog.train),
            Section::Eval => Some(&self.catalog.eval),
            Section::Params => self.method.map(|m| &m.params),
        }
    }

    /// The defaults of a section; empty where it has no schema.
    pub(crate) fn defaults(self, section: Section) -> Settings {
        self.schema(section).map(|s| s.defaults.clone()).unwrap_or_default()
    }

    /// The keys that may stand in a section, or, without one, at the top of the file.
    pub(crate) fn keys(self, section: Option<Section>) -> Keys {
        let lacks = match (section, self.dataset, self.method) {
            (None, ..) => "an experiment has no key".to_owned(),
            (Some(Section::Data), Some(dataset), _) => format!("data set `{}` has no setting", dataset.name),
            (Some(Section::Params), _, Some(method)) => format!("method `{}` has no hyperparameter", method.name),
            (Some(section), ..) => format!("`[{}]` has no key", section.key()),
        };
        let defaults = section.map_or_else(shared_axes, |section| self.defaults(section));
        Keys { section, lacks, defaults, elsewhere: self.elsewhere(section.map_or("", Section::key)) }
    }

    /// What to say of a key that may not stand in an arm. None is typed: an arm's keys are read one by one.
    pub(crate) fn arm_keys(self) -> Keys {
        let lacks = "an arm has no key".to_owned();
        Keys { section: None, lacks, defaults: Settings::new(), elsewhere: self.elsewhere("arm") }
    }

    /// The keys that stand in other tables than `here`, each with a sentence that says where.
    fn elsewhere(self, here: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for section in Section::SHARED.into_iter().filter(|s| s.key() != here) {
            let names = self.defaults(section);
            found.extend(names.keys().map(|k| (k.clone(), format!("`{k}` is a key of `[{}]`", section.key()))));
        }
        let methods = self.method.map_or(self.catalog.methods.as_slice(), std::slice::from_ref);
        for method in methods.iter().filter(|_| here != Section::Params.key()) {
            let sentence =
                |key| format!("`{key}` is a hyperparameter of `{}`: write it in an arm's `params`", method.name);
            found.extend(method.params.defaults.keys().map(|k| (k.clone(), sentence(k))));
        }
        if !here.is_empty() {
            found.extend(shared_axes().keys().map(|k| (k.clone(), format!("`{k}` stands at the top of the file"))));
        }
        found
    }
}

/// The plain keys at the top of the file, each with an example of its type.
fn shared_axes() -> Settings {
    let axes = json!({ "dataset": "", "protocol": "", "split_seed": 0, "bits": [16], "seeds": [0] });
    axes.as_object().cloned().unwrap_or_default()
}

/// The table that a key stands in: what it may hold, and how to speak of it.
pub(crate) struct Keys {
    section: Option<Section>,
    lacks: String,
    defaults: Settings,
    elsewhere: Vec<(String, String)>,
}

impl Keys {
    /// Whether the key may stand here.
    pub(crate) fn contain(&self, key: &str) -> bool {
        self.defaults.contains_key(key)
    }

    /// Checks a key and the type of its value.
    pub(crate) fn check(&self, key: &str, at: &Place, node: &Node) -> Result<Setting, Mistake> {
        let Some(default) = self.defaults.get(key) else { return Err(self.unknown(key, at, &[])) };
        let value = fit(default, node, &format!("`{key}`")).map_err(|m| self.with_default(m, key))?;
        Ok(Setting { section: self.section, key: key.to_owned(), value, place: node.place.clone() })
    }

    /// Reports a key that may not stand here. `known` are names that may, besides the typed keys.
    pub(crate) fn unknown(&self, key: &str, at: &Place, known: &[&str]) -> Mistake {
        let names = self.defaults.keys().map(String::as_str).chain(known.iter().copied());
        let mistake = Mistake::new(at, format!("{} `{key}`", self.lacks));
        match self.elsewhere.iter().find(|(name, _)| name == key) {
            Some((_, sentence)) => mistake.help(sentence),
            None => mistake.help(did_you_mean(key, names)),
        }
    }

    /// Adds what would be right for `key`: its default, or an example where it has none.
    pub(crate) fn with_default(&self, mistake: Mistake, key: &str) -> Mistake {
        match (self.section, self.defaults.get(key)) {
            (Some(_), Some(default)) => mistake.help(format!("default: {default}")),
            (None, Some(example @ Value::Array(_))) => mistake.help(format!("`{key} = {example}`")),
            _ => mistake,
        }
    }
}

/// Takes a value in the type of `like`: an integer will do for a float.
fn fit(like: &Value, node: &Node, what: &str) -> Result<Value, Mistake> {
    match (like, &node.kind) {
        (Value::String(_), Kind::Scalar(value)) if value.is_string() => Ok(value.clone()),
        (Value::Bool(_), Kind::Scalar(value)) if value.is_boolean() => Ok(value.clone()),
        (Value::Number(like), Kind::Scalar(Value::Number(number))) if like.is_f64() => Ok(json!(number.as_f64())),
        (Value::Number(_), Kind::Scalar(Value::Number(number))) if !number.is_f64() => Ok(json!(number)),
        (Value::Array(items), Kind::List(nodes)) => {
            let Some(like) = items.first() else { return Ok(node.value()) };
            let what = format!("an element of {what}");
            nodes.iter().map(|node| fit(like, node, &what)).collect()
        }
        (Value::Null | Value::Object(_), _) => Ok(node.value()),
        _ => Err(Mistake::new(&node.place, format!("{what} must be {}, got {}", type_name(like), node.describe()))),
    }
}

/// Names the type of a default, to follow "must be".
fn type_name(like: &Value) -> &'static str {
    match like {
        Value::String(_) => "a string",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::Array(items) => match items.first() {
            Some(Value::Number(number)) if !number.is_f64() => "a list of integers",
            Some(Value::Number(_)) => "a list of numbers",
            Some(Value::String(_)) => "a list of strings",
            _ => "a list",
        },
        Value::Object(_) | Value::Null => "a value",
    }
}
