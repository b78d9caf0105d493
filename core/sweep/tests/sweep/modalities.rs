//! Modalities of a method's runs, and of its data set.

use std::sync::{Arc, Mutex};

use hashlab_data::{DataKind, Modality};
use hashlab_settings::Settings;
use hashlab_sweep::{Overrides, Plan, load};
use insta::assert_snapshot;
use serde_json::json;

use crate::catalog::{catalog, description};
use crate::{diagnostics, plan, planned, read};

fn file(dataset: &str, rest: &str) -> String {
    format!("dataset = \"{dataset}\"\nbits = [16]\n{rest}\n")
}

fn modalities(plan: &Plan) -> Vec<Vec<Modality>> {
    plan.runs.iter().map(|run| run.config().encoders.modalities().collect()).collect()
}

#[test]
fn a_method_of_any_modality_takes_the_one_that_the_file_means() {
    let chosen = |text: &str| modalities(&planned(text)).remove(0);
    let waves = "[[method]]\nname = \"waves\"\n";
    assert_eq!(chosen(&file("toy", waves)), [Modality::Image]);
    assert_eq!(chosen(&file("notes", waves)), [Modality::Text]);
    assert_eq!(chosen(&file("pairs", waves)), [Modality::Image]);
    assert_eq!(chosen(&file("pairs", &format!("[text]\n{waves}"))), [Modality::Text]);
    assert_eq!(chosen(&file("pairs", &format!("{waves}text = {{ max_tokens = 8 }}"))), [Modality::Text]);
    assert_eq!(chosen(&file("pairs", &format!("{waves}grid = {{ \"text.max_tokens\" = [8] }}"))), [Modality::Text]);
    assert_eq!(chosen(&file("pairs", &format!("[image]\n[text]\n{waves}text = {{}}"))), [Modality::Text]);
}

#[test]
fn a_method_of_both_modalities_has_both_encoders() {
    let text = "[text]\nmax_tokens = 8\n[image]\nviews = 9\nimage_size = 64\n[[method]]\nname = \"bridge\"\n";
    let config = planned(&file("pairs", text)).runs.remove(0).config();
    let encoders = serde_json::to_value(&config.encoders).expect("plain data");
    assert_eq!(encoders, json!({ "image": { "image_size": 64, "digest": 4 }, "text": { "max_tokens": 8 } }));
}

#[test]
fn a_method_and_its_data_set_share_modalities() {
    let methods = "[[method]]\nname = \"bridge\"\n\n[[method]]\nname = \"sight\"\n\n[[method]]\nname = \"waves\"\n\
                   label = \"of texts\"\ntext = { max_tokens = 8 }\n";
    assert_snapshot!(diagnostics(&file("toy", methods)));
    assert_snapshot!(diagnostics(&file("notes", methods)));
}

#[test]
fn two_sections_and_a_method_of_one_modality_are_ambiguous() {
    let sections = "[image]\n[text]\n[[method]]\nname = \"bridge\"\n\n[[method]]\nname = \"waves\"\n";
    assert_snapshot!(diagnostics(&file("pairs", sections)));
}

#[test]
fn a_section_of_a_modality_that_the_data_set_lacks_is_wrong() {
    let method = "[text]\nmax_tokens = 0\n[[method]]\nname = \"waves\"\n";
    assert_snapshot!(diagnostics(&file("toy", method)));
}

#[test]
fn a_key_of_a_modality_that_a_method_does_not_read_is_wrong() {
    let method = "[[method]]\nname = \"sight\"\ntext = { max_tokens = 8 }\ngrid = { \"text.encoder\" = [\"words\"] }";
    assert_snapshot!(diagnostics(&file("pairs", method)));
}

#[test]
fn features_have_no_encoder() {
    let mine = |rest: &str| file("mine", &format!("[data]\nfolder = \"f\"\n{rest}\n[[method]]\nname = \"prism\"\n"));
    let config = |rest: &str| planned(&mine(rest)).runs.remove(0).config();
    let encoder = serde_json::to_value(&config("").encoders).expect("plain data");
    assert_eq!(encoder, json!({ "image": { "encoder": "none" } }));
    assert_eq!(config("").id(), config("[image]\nencoder = \"none\"").id());
    assert_eq!(config("").id(), config("[image]\nimage_size = 64").id());
    assert_snapshot!(diagnostics(&mine("[image]\nencoder = \"tiny\"")));
    assert_snapshot!(diagnostics(&file("toy", "[image]\nencoder = \"none\"\n[[method]]\nname = \"prism\"\n")));
}

#[test]
fn a_data_set_describes_itself_once_under_its_complete_section() {
    let seen: Arc<Mutex<Vec<Settings>>> = Arc::default();
    let (mut catalog, log) = (catalog(), seen.clone());
    catalog.datasets[3].describe = Arc::new(move |settings| {
        log.lock().expect("one thread").push(settings.clone());
        Ok(description("digest", &[(Modality::Image, DataKind::Features)]))
    });
    let text = file("mine", "[[method]]\nname = \"prism\"\n[[method]]\nname = \"ruler\"\n");
    let experiment = load(&text, "x.toml".as_ref(), &catalog, &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    let plan = plan(&experiment).expect("a plan");
    assert_eq!(*seen.lock().expect("one thread"), [json!({ "folder": null }).as_object().expect("a table").clone()]);
    assert!(plan.runs.iter().all(|run| run.config().dataset_identity == "digest" && run.config().data.is_empty()));
}

#[test]
fn what_keeps_a_data_set_from_being_described_is_a_diagnostic() {
    let method = "[[method]]\nname = \"prism\"\nparams = { rounds = 0 }\n";
    assert_snapshot!(diagnostics(&file("mine", method)));
    let section = diagnostics(&file("mine", &format!("[data]\n{method}")));
    assert!(section.contains("experiments/toy.toml:3:2"), "{section}");
}

#[test]
fn a_wrong_data_section_is_not_described() {
    let text = diagnostics(&file("mine", "[data]\nfolder = 5\n[[method]]\nname = \"prism\"\n"));
    assert!(text.starts_with("error: `folder` must be a string, got the integer 5\n"), "{text}");
    assert_eq!(text.matches("error: ").count(), 1, "{text}");
    assert!(read(&file("mine", "[data]\nfolder = \"f\"\n[[method]]\nname = \"prism\"\n")).is_ok());
}
