//! An invented catalog. Methods: `waves` (deep, augmented) and `prism` (shallow) take any modality, `ruler` ignores the
//! seed, `bridge` needs both modalities, `sight` images. Data sets: `toy` of images, `notes` of texts, `pairs` of both,
//! `mine` of features that lie in a folder.

use std::sync::Arc;

use hashlab_data::{ByModality, DataError, DataKind, EncoderFacts, Modality, Needs};
use hashlab_settings::{NoParams, Params, Schema, Settings, Violations, parse};
use hashlab_sweep::{
    Catalog, CheckRun, CodesFacts, DatasetDecl, DatasetDescription, Describe, MethodDecl, ProtocolDecl,
};

use crate::sections::{Data, Eval, ImageEncoder, Mine, Prism, TextEncoder, Train, Waves};

pub(crate) fn catalog() -> Catalog {
    let both = Needs::Separate(&[Modality::Image, Modality::Text]);
    Catalog {
        methods: vec![
            MethodDecl { augmented: true, ..method::<Waves>("waves", "Waves", true, Needs::Any) },
            method::<Prism>("prism", "Prism", false, Needs::Any),
            MethodDecl { seeded: false, ..method::<NoParams>("ruler", "Ruler", false, Needs::Any) },
            method::<NoParams>("bridge", "Bridge", true, both),
            method::<NoParams>("sight", "Sight", true, Needs::Fused(&[Modality::Image])),
        ],
        datasets: vec![
            dataset::<Data>("toy", fixed(&[(Modality::Image, DataKind::Pixels)])),
            dataset::<Data>("notes", fixed(&[(Modality::Text, DataKind::Texts)])),
            dataset::<Data>("pairs", fixed(&[(Modality::Image, DataKind::Pixels), (Modality::Text, DataKind::Texts)])),
            dataset::<Mine>("mine", Arc::new(describe_folder)),
        ],
        encoders: [(Modality::Image, Schema::of::<ImageEncoder>()), (Modality::Text, Schema::of::<TextEncoder>())]
            .into_iter()
            .collect(),
        inspect: Arc::new(|_, _| Ok(EncoderFacts::default())),
        codes: Arc::new(codes),
        train: Schema::of::<Train>(),
        eval: Schema::of::<Eval>(),
    }
}

/// The folder `codes` has every file; a digest is the path's length.
fn codes(path: &str, _: usize) -> Result<CodesFacts, String> {
    let facts = || CodesFacts { items: 10, digest: format!("{path}:{}", path.len()) };
    path.starts_with("codes/").then(facts).ok_or_else(|| format!("there is no file {path}\nhelp: look in codes"))
}

fn method<P: Params>(name: &str, title: &str, deep: bool, needs: Needs) -> MethodDecl {
    let (name, title, paper) = (name.to_owned(), title.to_owned(), "Nobody, 2000".to_owned());
    let params = Schema::of::<P>();
    let check: CheckRun = Arc::new(|_, _| Violations::none());
    MethodDecl { name, title, paper, revision: 1, deep, augmented: false, seeded: true, needs, params, check }
}

fn dataset<P: Params>(name: &str, describe: Describe) -> DatasetDecl {
    DatasetDecl {
        name: name.to_owned(),
        title: format!("Data of {name}"),
        settings: Schema::of::<P>(),
        describe,
        train_items: Arc::new(|_, _, _| Ok(None)),
    }
}

fn fixed(kinds: &[(Modality, DataKind)]) -> Describe {
    let description = description("v1", kinds);
    Arc::new(move |_| Ok(description.clone()))
}

/// A folder of features, whose name is its content.
fn describe_folder(settings: &Settings) -> Result<DatasetDescription, DataError> {
    let folder = parse::<Mine>(settings).expect("checked settings").folder;
    let folder = folder
        .ok_or_else(|| DataError::Invalid("`folder` is not set\nhelp: name the folder of the features".to_owned()))?;
    Ok(description(&folder, &[(Modality::Image, DataKind::Features), (Modality::Text, DataKind::Texts)]))
}

pub(crate) fn description(identity: &str, kinds: &[(Modality, DataKind)]) -> DatasetDescription {
    DatasetDescription {
        identity: identity.to_owned(),
        modalities: kinds.iter().copied().collect::<ByModality<_>>(),
        protocols: vec![protocol("toy-1", Some(100)), protocol("toy-2", None)],
    }
}

fn protocol(name: &str, map_at: Option<usize>) -> ProtocolDecl {
    ProtocolDecl { name: name.to_owned(), description: format!("the protocol {name}"), map_at }
}
