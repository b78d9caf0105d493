//! `hashlab backbones`: the networks between pixels and methods.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_backbones::BACKBONES;

use super::methods::settings;
use crate::context::print;

pub(crate) fn run() -> Result<ExitCode> {
    let width = BACKBONES.iter().map(|network| network.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for network in BACKBONES {
        let weights = if network.needs_weights { "pretrained weights" } else { "random weights" };
        let _ = writeln!(text, "{:width$}  {:>4}-d, {weights}. {}", network.name, network.dim, network.doc);
    }
    let schema = hashlab_model::registry::schema_of::<hashlab_model::config::BackboneConfig>();
    text += &settings("\nSettings of [backbone]:", &schema);
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
