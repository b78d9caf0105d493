//! `hashlab encoders`: networks between items and methods.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_encoders::Entry;
use hashlab_pipeline::config::{NO_ENCODER, image_schema};

use super::methods::settings;
use crate::args::NameArgs;
use crate::context::{Context, print};

pub(crate) fn run(context: &Context, args: &NameArgs) -> Result<ExitCode> {
    match &args.name {
        None => print(&list(context.registry().encoders))?,
        Some(name) if name == NO_ENCODER => print("none\nthe features of the data set itself, as they are\n")?,
        Some(name) => print(&describe(context.registry().encoder(name)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(encoders: &'static [Entry]) -> String {
    let width = encoders.iter().map(|network| network.name.len()).max().unwrap_or(0);
    let mut text = "Encoders of images, for `encoder` of [image]:\n".to_owned();
    for network in encoders {
        let uses = uses(network).join(", ");
        let _ = writeln!(text, "  {:width$}  {:>4}-d, {uses}. {}", network.name, network.dim, network.doc);
    }
    let _ = writeln!(text, "  {:width$}  the features of the data set itself", NO_ENCODER);
    text += &settings("\nSettings of [image]:", &image_schema(encoders));
    text + "\n`hashlab encoders NAME` describes an encoder.\n"
}

fn describe(network: &'static Entry) -> String {
    let mut text = format!("{}\n{}\n\n", network.name, network.doc);
    let _ = writeln!(text, "  features   {} numbers per image", network.dim);
    let _ = writeln!(text, "  image_size {} pixels by default", network.image_size);
    let _ = writeln!(text, "  use        {}", uses(network).join(", "));
    if let Some(published) = network.published() {
        let _ = writeln!(
            text,
            "  weights    `hashlab fetch {}`: {} ({})",
            network.name,
            published.page(),
            published.license
        );
    }
    text
}

/// Says how a network can be used.
fn uses(network: &Entry) -> Vec<String> {
    let weights = match (network.needs_weights, network.train.is_some()) {
        (true, _) => "pretrained weights",
        (false, true) => "random weights",
        (false, false) => "no weights",
    };
    let mut uses = vec![weights.to_owned()];
    uses.push(if network.train.is_some() { "frozen or trained" } else { "frozen only" }.to_owned());
    uses.extend(network.cut.as_ref().map(|cut| format!("can be frozen until {}", cut.name)));
    uses.extend(network.only_size.map(|size| format!("at {size} px only")));
    uses
}
