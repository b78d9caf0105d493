//! Sweeps over a small invented catalog: diagnostics, plans and the properties of both.

mod catalog;
mod diagnostics;
mod plans;
mod properties;

use std::path::Path;

use hashlab_engine::Settings;
use hashlab_engine::sweep::{Experiment, Mistakes, Overrides, Plan, PlanError, load};

/// Loads a file without overrides.
fn read(text: &str) -> Result<Experiment, Mistakes> {
    read_under(text, &[], &[])
}

/// Loads a file under environment variables and flags.
fn read_under(text: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Experiment, Mistakes> {
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let overrides = Overrides { env, set: set.iter().map(|argument| argument.to_string()).collect() };
    load(text, Path::new("experiments/toy.toml"), &catalog::catalog(), &overrides)
}

/// What is wrong with a file, as a log shows it.
fn mistakes(text: &str) -> String {
    mistakes_under(text, &[], &[])
}

fn mistakes_under(text: &str, env: &[(&str, &str)], set: &[&str]) -> String {
    read_under(text, env, set).err().expect("the experiment has mistakes").to_string()
}

/// Plans an experiment; its backbone's digest is the length of its name.
fn plan(experiment: &Experiment) -> Result<Plan, PlanError> {
    experiment.plan(&mut |section| {
        let mut section = section.clone();
        let weights = section.remove("weights").ok_or("no weights")?;
        section.insert("digest".to_owned(), weights.to_string().len().into());
        Ok::<Settings, String>(section)
    })
}

/// Loads and plans a file that is in order.
fn planned(text: &str) -> Plan {
    planned_under(text, &[], &[])
}

fn planned_under(text: &str, env: &[(&str, &str)], set: &[&str]) -> Plan {
    let experiment = read_under(text, env, set).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    plan(&experiment).expect("no two rows share a run")
}
