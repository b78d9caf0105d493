//! `hashlab backbones`: the networks between pixels and methods.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_backbones::{BACKBONES, Entry};

use super::methods::settings;
use crate::context::print;

pub(crate) fn run() -> Result<ExitCode> {
    let width = BACKBONES.iter().map(|network| network.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for network in BACKBONES {
        let uses = uses(network).join(", ");
        let _ = writeln!(text, "{:width$}  {:>4}-d, {uses}. {}", network.name, network.dim, network.doc);
    }
    let schema = hashlab_model::registry::schema_of::<hashlab_model::config::BackboneConfig>();
    text += &settings("\nSettings of [backbone]:", &schema);
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Says how a network can be used.
fn uses(network: &Entry) -> Vec<String> {
    let mut uses = vec![if network.needs_weights { "pretrained weights" } else { "random weights" }.to_owned()];
    uses.push(if network.train.is_some() { "frozen or trained" } else { "frozen only" }.to_owned());
    uses.extend(network.cut.as_ref().map(|cut| format!("can be cut behind {}", cut.name)));
    uses.extend(network.only_size.map(|size| format!("at {size} px only")));
    uses
}
