//! A new key renames no run: ids are written down, and hold for sections that have grown.
//!
//! `known_ids.txt` changes only with the schema, which is raised when all results become invalid.

use std::sync::Arc;

use hashlab_data::{ByModality, DataKind, EncoderFacts, Modality, Needs};
use hashlab_settings::{Schema, Violations};
use hashlab_sweep::{Catalog, CheckRun, DatasetDecl, MethodDecl, Overrides, Plan, load};

use crate::catalog::description;

const FILE: &str = r#"
dataset = "pairs"
bits = [16, 64]
seeds = [0, 1]
split_seed = 3

[data]
size = 500

[image]
image_size = 64

[train]
epochs = 20

[[method]]
name = "deep"
grid = { tau = [0.2, 0.3], "train.epochs" = [10, 20] }

[[method]]
name = "shallow"

[[method]]
name = "both"
bits = [32]
params = { tau = 1.0 }
text = { max_tokens = 8 }
"#;

/// The sections of a version of the program: `added` are keys that the version before did not have.
macro_rules! version {
    ($version:ident $(, $added:ident)*) => {
        mod $version {
            use hashlab_settings::Params;
            use schemars::JsonSchema;
            use serde::{Deserialize, Serialize};

            version!(@section Data, size: usize = 100 $(, $added: Option<String> = None)*);
            version!(@section Image, encoder: String = "tiny".into(), image_size: usize = 32 $(, $added: usize = 5)*);
            version!(@section Text, encoder: String = "words".into(), max_tokens: usize = 32 $(, $added: f64 = 0.5)*);
            version!(@section Train, epochs: usize = 60 $(, $added: bool = true)*);
            version!(@section Eval, map_at: String = "protocol".into() $(, $added: Vec<usize> = vec![1])*);
            version!(@section Method, tau: f64 = 0.3 $(, $added: String = "new".into())*);
        }
    };
    (@section $name:ident $(, $key:ident: $type:ty = $default:expr)*) => {
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name { $($key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl Params for $name {}
    };
}

version!(this);
version!(later, momentum);

/// The catalog of a version.
macro_rules! catalog_of {
    ($version:ident) => {
        Catalog {
            methods: vec![
                method("deep", true, Needs::Separate(&[Modality::Image]), Schema::of::<$version::Method>()),
                method("shallow", false, Needs::Fused(&[Modality::Text]), Schema::of::<$version::Method>()),
                method("both", true, Needs::Fused(&Modality::ALL), Schema::of::<$version::Method>()),
            ],
            datasets: vec![pairs(Schema::of::<$version::Data>())],
            encoders: [
                (Modality::Image, Schema::of::<$version::Image>()),
                (Modality::Text, Schema::of::<$version::Text>()),
            ]
            .into_iter()
            .collect::<ByModality<_>>(),
            inspect: Arc::new(|_, _| Ok(EncoderFacts::default())),
            codes: Arc::new(|path, _| Err(format!("there is no file {path}"))),
            train: Schema::of::<$version::Train>(),
            eval: Schema::of::<$version::Eval>(),
        }
    };
}

fn method(name: &str, deep: bool, needs: Needs, params: Schema) -> MethodDecl {
    let (name, title) = (name.to_owned(), name.to_owned());
    let paper = "Nobody, 2000".to_owned();
    let check: CheckRun = Arc::new(|_, _| Violations::none());
    MethodDecl { name, title, paper, revision: 1, deep, augmented: false, seeded: true, needs, params, check }
}

fn pairs(settings: Schema) -> DatasetDecl {
    let kinds = [(Modality::Image, DataKind::Pixels), (Modality::Text, DataKind::Texts)];
    let description = description("pairs-v1", &kinds);
    let describe = Arc::new(move |_: &_| Ok(description.clone()));
    DatasetDecl {
        name: "pairs".to_owned(),
        title: "Pairs".to_owned(),
        settings,
        describe,
        train_items: Arc::new(|_, _, _| Ok(None)),
    }
}

fn planned(catalog: &Catalog, set: &[&str]) -> Plan {
    let set = set.iter().map(|argument| argument.to_string()).collect();
    let overrides = Overrides { set, ..Overrides::default() };
    let experiment = load(FILE, "known.toml".as_ref(), catalog, &overrides).unwrap_or_else(|wrong| panic!("{wrong}"));
    let digested = |modality: Modality, section: &hashlab_settings::Settings| {
        let mut section = section.clone();
        section.insert("digest".to_owned(), modality.name().into());
        Ok(section)
    };
    experiment.plan(&mut { digested }).expect("a plan")
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.runs.iter().map(|run| format!("{} {}", run.id, run.setting)).collect()
}

#[test]
fn runs_have_the_ids_that_are_written_down() {
    let known: Vec<&str> = include_str!("known_ids.txt").lines().collect();
    assert_eq!(ids(&planned(&catalog_of!(this), &[])), known);
}

#[test]
fn a_new_key_renames_no_run() {
    let known: Vec<&str> = include_str!("known_ids.txt").lines().collect();
    assert_eq!(ids(&planned(&catalog_of!(later), &[])), known);
}

#[test]
fn a_new_key_that_is_set_names_other_runs() {
    let known = ids(&planned(&catalog_of!(later), &[]));
    for set in ["data.momentum=x", "eval.momentum=[2]", "image.momentum=6", "text.momentum=0.1", "train.momentum=false"]
    {
        let changed = ids(&planned(&catalog_of!(later), &[set]));
        assert!(changed.iter().any(|id| !known.contains(id)), "{set}");
        let unread = |id: &&String| match set.split('.').next() {
            Some("train") => id.starts_with("shallow"),
            Some("text") => id.starts_with("deep"),
            Some("image") => id.starts_with("shallow"),
            _ => false,
        };
        assert!(changed.iter().filter(unread).all(|id| known.contains(id)), "{set} renames runs that do not read it");
    }
}
