//! Sweeps over a small invented catalog: diagnostics, plans and the properties of both.

mod bases;
mod catalog;
mod diagnostics;
mod external;
mod facts;
mod files;
mod grids;
mod known_ids;
mod modalities;
mod outside;
mod plans;
mod points;
mod properties;
mod pruning;
mod search;
mod sections;
mod tpe;

use std::path::Path;

use hashlab_data::Modality;
use hashlab_settings::Settings;
use hashlab_sweep::{Diagnostics, Experiment, Overrides, Plan, PlanError, load};

/// Loads a file without overrides.
fn read(text: &str) -> Result<Experiment, Diagnostics> {
    read_under(text, &[], &[])
}

/// Loads a file under environment variables and flags.
fn read_under(text: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Experiment, Diagnostics> {
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let overrides = Overrides { env, set: set.iter().map(|argument| argument.to_string()).collect() };
    load(text, Path::new("experiments/toy.toml"), &catalog::catalog(), &overrides)
}

/// Diagnostics of a file, without color.
fn diagnostics(text: &str) -> String {
    diagnostics_under(text, &[], &[])
}

fn diagnostics_under(text: &str, env: &[(&str, &str)], set: &[&str]) -> String {
    read_under(text, env, set).err().expect("the experiment is wrong").to_string()
}

/// Plans an experiment; the digest of an image encoder's weights is the length of their name.
fn plan(experiment: &Experiment) -> Result<Plan, PlanError> {
    experiment.plan(&mut resolve)
}

fn resolve(modality: Modality, section: &Settings) -> Result<Settings, String> {
    let mut section = section.clone();
    if modality == Modality::Image {
        let weights = section.remove("weights").ok_or("no weights")?;
        section.insert("digest".to_owned(), weights.to_string().len().into());
    }
    Ok(section)
}

/// Loads and plans a valid file.
fn planned(text: &str) -> Plan {
    planned_under(text, &[], &[])
}

fn planned_under(text: &str, env: &[(&str, &str)], set: &[&str]) -> Plan {
    let experiment = read_under(text, env, set).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    plan(&experiment).expect("no two rows share a run")
}

/// A file with one method, whose table is `lines`.
fn with_method(lines: &str) -> String {
    format!("dataset = \"toy\"\nbits = [16]\n\n[[method]]\n{lines}\n")
}
