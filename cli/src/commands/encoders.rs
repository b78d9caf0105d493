//! `hashlab encoders`: networks between items and methods.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_encoders::{EncoderEntry, ImageEntry, TextEntry, TokenSource};
use hashlab_pipeline::config::{NO_ENCODER, image_schema, text_schema};

use super::methods::{settings, wrap};
use crate::args::NameArgs;
use crate::context::{Context, print};

/// Characters of a fact on a line.
const WIDTH: usize = 100;

pub(crate) fn run(context: &Context, args: &NameArgs) -> Result<ExitCode> {
    match &args.name {
        None => print(&list(context.registry().encoders))?,
        Some(name) if name == NO_ENCODER => print("none\nthe features of the data set itself, as they are\n")?,
        Some(name) => {
            let found: Vec<String> = context.registry().encoders_named(name)?.into_iter().map(describe).collect();
            print(&found.join("\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(encoders: &'static [EncoderEntry]) -> String {
    let (texts, images): (Vec<_>, Vec<_>) = encoders.iter().partition(|entry| entry.text().is_some());
    let mut text = "Encoders of images, for `encoder` of [image]:\n".to_owned();
    text += &rows(&images);
    text += "\nEncoders of texts, for `encoder` of [text]:\n";
    text += &rows(&texts);
    text += &settings("\nSettings of [image]:", &image_schema(encoders));
    text += &settings("\nSettings of [text]:", &text_schema(encoders));
    text + "\n`hashlab encoders NAME` describes an encoder.\n"
}

fn rows(encoders: &[&EncoderEntry]) -> String {
    let width = encoders.iter().map(|entry| entry.name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for entry in encoders {
        let uses = uses(entry).join(", ");
        let _ = writeln!(text, "  {:width$}  {:>4}-d, {uses}. {}", entry.name(), entry.dim(), entry.doc());
    }
    let _ = writeln!(text, "  {NO_ENCODER:width$}  the features of the data set itself");
    text
}

fn describe(entry: &EncoderEntry) -> String {
    let mut text = format!("{}\n{}\n\n", entry.name(), entry.doc());
    let facts = match entry {
        EncoderEntry::Image(image) => facts_of_images(image),
        EncoderEntry::Text(of_texts) => facts_of_texts(of_texts),
    };
    let shared = [("use", uses(entry).join(", ")), ("weights", weights(entry))];
    for (name, fact) in facts.into_iter().chain(shared).filter(|(_, fact)| !fact.is_empty()) {
        for (at, line) in wrap(&fact, WIDTH).into_iter().enumerate() {
            let _ = writeln!(text, "  {:10} {line}", if at == 0 { name } else { "" });
        }
    }
    text
}

fn facts_of_images(entry: &ImageEntry) -> Vec<(&'static str, String)> {
    vec![
        ("modality", "image".to_owned()),
        ("features", format!("{} numbers per image", entry.dim)),
        ("image_size", format!("{} pixels by default", entry.image_size)),
    ]
}

fn facts_of_texts(entry: &TextEntry) -> Vec<(&'static str, String)> {
    let poolings: Vec<&str> = entry.poolings.iter().map(|pooling| pooling.name()).collect();
    let others = match &poolings[1..] {
        [] => String::new(),
        others => format!("; also {}", others.join(", ")),
    };
    let most =
        if entry.positions > entry.max_tokens { format!(", at most {}", entry.positions) } else { String::new() };
    let tokenizer = match entry.tokens {
        TokenSource::Bytes => "none: tokens are the bytes of a text".to_owned(),
        TokenSource::File(names) => format!("{} in the folder of the weights, or `tokenizer`", names.join(" or ")),
    };
    vec![
        ("modality", "text".to_owned()),
        ("features", format!("{} numbers per text", entry.dim)),
        ("max_tokens", format!("{} by default{most}", entry.max_tokens)),
        ("pooling", format!("{} by default{others}", poolings[0])),
        ("tokenizer", tokenizer),
    ]
}

/// Says where weights can be had; nothing of an encoder that reads none.
fn weights(entry: &EncoderEntry) -> String {
    if let Some(published) = entry.published() {
        return format!("`hashlab fetch {}`: {} ({})", entry.name(), published.page(), published.license);
    }
    match entry.is_in_torchvision() {
        true => format!("those of torchvision.models.{}, saved with safetensors.torch.save_file", entry.name()),
        false => String::new(),
    }
}

/// Says how an encoder can be used.
fn uses(entry: &EncoderEntry) -> Vec<String> {
    let trainable = entry.is_trainable();
    let weights = match (entry.needs_weights(), trainable) {
        (true, _) => "pretrained weights",
        (false, true) => "random weights",
        (false, false) => "no weights",
    };
    let mut uses = vec![weights.to_owned(), if trainable { "frozen or trained" } else { "frozen only" }.to_owned()];
    if let Some(image) = entry.image() {
        uses.extend(image.cut.as_ref().map(|cut| format!("can be frozen until {}", cut.name)));
        uses.extend(image.only_size.map(|size| format!("at {size} px only")));
    }
    uses
}
