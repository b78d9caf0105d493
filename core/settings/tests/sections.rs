//! A section with keys of every type: its checks and their messages.

use hashlab_settings::{Params, Schema, Settings, ValueType, Violations, parse};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Section {
    /// Passes over the
    /// training items.
    #[schemars(range(min = 1, max = 1000))]
    epochs: usize,
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    rate: f64,
    #[schemars(extend("exclusiveMaximum" = 1.0))]
    betas: [f64; 2],
    loss: Loss,
    depth: Depth,
    #[schemars(extend("appliesTo" = "deep"))]
    folder: Option<String>,
    clip: Option<f64>,
    decay: Option<Loss>,
    #[schemars(inner(range(min = 1)))]
    ranks: Vec<usize>,
    small: u8,
    on: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Loss {
    /// The angle.
    Cosine,
    Hinge,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Depth {
    Named(Named),
    Rank(#[schemars(range(min = 1))] usize),
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Named {
    Protocol,
    All,
}

impl Default for Section {
    fn default() -> Self {
        Self {
            epochs: 60,
            rate: 0.001,
            betas: [0.9, 0.999],
            loss: Loss::Cosine,
            depth: Depth::Named(Named::Protocol),
            folder: None,
            clip: None,
            decay: None,
            ranks: vec![1, 10],
            small: 3,
            on: false,
        }
    }
}

impl Params for Section {
    fn check(&self) -> Violations {
        Violations::none().require(self.rate <= self.betas[0], ["rate", "betas"], "`rate` must not exceed `betas`")
    }

    fn inactive(&self) -> Vec<&'static str> {
        if self.on { Vec::new() } else { vec!["small"] }
    }
}

fn settings(value: Value) -> Settings {
    value.as_object().expect("a table").clone()
}

fn complaint(value: Value) -> String {
    Schema::of::<Section>().check(&settings(value)).to_string()
}

#[test]
fn types_are_named_as_users_know_them() {
    let schema = Schema::of::<Section>();
    let named = |key: &str| schema.value_type(key).map(ValueType::describe);
    let types = [
        ("epochs", "an integer"),
        ("rate", "a number"),
        ("betas", "a list of 2 numbers"),
        ("folder", "a string"),
        ("clip", "a number"),
        ("ranks", "a list of integers"),
        ("on", "true or false"),
        ("depth", "`protocol`, `all` or an integer of at least 1"),
    ];
    for (key, name) in types {
        assert_eq!(named(key).as_deref(), Some(name), "{key}");
    }
    // schemars lists words with doc comments behind those without.
    for key in ["loss", "decay"] {
        let mut words = schema.value_type(key).expect("a key").words();
        words.sort_unstable();
        assert_eq!(words, ["cosine", "hinge"], "{key}");
    }
    assert_eq!(named("epoch"), None);
}

#[test]
fn all_keys_of_a_wrong_type_or_range_are_reported() {
    let message = complaint(json!({ "epochs": "5", "rate": 0, "betas": [0.9, 2], "ranks": [1, 0, -1], "small": 300 }));
    let expected = "`epochs` must be an integer, got \"5\"; `rate` must be above 0, got 0; \
                    `ranks[1]` must be at least 1, got 0; `ranks[2]` must be at least 1, got -1; \
                    `small` must be at least 0 and at most 255, got 300";
    assert_eq!(message, expected);
    assert_eq!(complaint(json!({ "epochs": 1001 })), "`epochs` must be at least 1 and at most 1000, got 1001");
    assert_eq!(complaint(json!({ "epochs": 2.0 })), "`epochs` must be an integer, got 2.0");
    assert_eq!(complaint(json!({ "betas": [0.9] })), "`betas` must be a list of 2 numbers, got [0.9]");
    assert_eq!(
        complaint(json!({ "depth": 0 })),
        "`depth` must be `protocol`, `all` or an integer of at least 1, got 0"
    );
    assert_eq!(
        complaint(json!({ "loss": "cosin" })).replace("`hinge` or `cosine`", "…"),
        "`loss` must be …, got \"cosin\""
    );
}

#[test]
fn rules_between_keys_are_checked_behind_types() {
    assert_eq!(complaint(json!({ "rate": 2 })), "`rate` must not exceed `betas`");
    assert_eq!(complaint(json!({ "rate": 2, "on": 1 })), "`on` must be true or false, got 1");
    assert_eq!(complaint(json!({ "rates": 2 })).split(',').next(), Some("`rates`: unknown field `rates`"));
}

#[test]
fn sound_settings_are_read_with_their_defaults() {
    let read: Section = parse(&settings(json!({ "clip": 1, "depth": 5, "decay": "hinge" }))).expect("sound");
    let expected = Section { clip: Some(1.0), depth: Depth::Rank(5), decay: Some(Loss::Hinge), ..Section::default() };
    assert_eq!(read, expected);
    let all = Schema::of::<Section>();
    assert!(all.check(&all.defaults).is_empty());
}

#[test]
fn an_integer_becomes_a_number_where_one_is_expected() {
    let schema = Schema::of::<Section>();
    let checked = |key: &str, value: Value| schema.value_type(key).expect("a key").check(&value).expect("a value");
    assert_eq!(checked("rate", json!(1)).to_string(), "1.0");
    assert_eq!(checked("betas", json!([0, 0.5])).to_string(), "[0.0,0.5]");
    assert_eq!(checked("epochs", json!(1)).to_string(), "1");
}

#[test]
fn a_schema_describes_its_keys() {
    let schema = Schema::of::<Section>();
    assert_eq!(schema.docs["epochs"], "Passes over the training items.");
    assert_eq!(schema.applies_to("folder"), Some("deep"));
    assert_eq!(schema.applies_to("epochs"), None);
    assert_eq!(schema.default_text("folder").as_deref(), Some("not set"));
    assert_eq!(schema.default_text("rate").as_deref(), Some("0.001"));
    assert_eq!(schema.default_text("folders"), None);
    assert_eq!(schema.inactive(&schema.defaults), ["small"]);
}
