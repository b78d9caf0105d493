//! `hashlab index`: the codes of a collection, in a folder that `search` and `serve` read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::OpenModel;
use hashlab_cache::Progress;
use hashlab_data::Modality;
use hashlab_image::{Exif, Rgb, decode_with, is_turned};
use hashlab_index::{Facts, Item, Stamp, Writer};
use hashlab_pipeline::{OnProgress, Prepared};
use hashlab_store::counted;
use rayon::prelude::*;

use super::extract::Shown;
use crate::args::{IndexArgs, Orientation, Unreadable};
use crate::context::{Context, print, warn};
use crate::exit::bad_input;
use crate::retrieval::collection::{self, content};
use crate::retrieval::searcher::{exif, facts};

/// Items that are encoded and stored together.
const TOGETHER: usize = 64;

/// Unreadable files that are named; further ones are counted.
const NAMED: usize = 10;

pub(crate) fn run(context: &Context, args: &IndexArgs) -> Result<ExitCode> {
    let run = context.workspace.run_with_model(&args.run)?;
    let (modality, sources) = match &args.texts {
        None => (Modality::Image, collection::images(&args.images)?.into_iter().map(Source::File).collect()),
        Some(path) => (Modality::Text, collection::texts(path)?.into_iter().map(Source::Text).collect::<Vec<_>>()),
    };
    if sources.is_empty() {
        return Err(bad_input(
            "there is nothing to encode\nhelp: name images, folders with images, or a file of texts",
        ));
    }
    let device = args.device.name.open()?;
    let tally = context.workspace.with_model(&run, &device, |model| {
        check_modality(model, modality)?;
        let facts = facts(model, modality).with_upright(args.exif == Orientation::Apply);
        let mut writer = Writer::open(&args.out, &facts)?;
        let (new, tally) = missing(sources, &writer);
        Shown::new().during(|progress| add(model, &facts, &mut writer, &new, tally, args.unreadable, progress))
    })?;
    report(&args.out, modality, &tally)?;
    Ok(ExitCode::SUCCESS)
}

/// An item that is to be encoded.
enum Source {
    File(PathBuf),
    Text(String),
}

/// What became of the items.
#[derive(Default)]
struct Tally {
    added: usize,
    present: usize,
    changed: usize,
    truncated: usize,
    /// Images that were turned upright.
    turned: usize,
    unreadable: Vec<String>,
    /// All items of the index.
    items: usize,
}

fn check_modality(model: &OpenModel<'_>, modality: Modality) -> Result<()> {
    if model.encoder.modalities().any(|known| known == modality) {
        return Ok(());
    }
    Err(bad_input(format!("run `{}` encodes no {modality}s\nhelp: `plan` lists the runs of a sweep", model.run)))
}

/// The sources that the index lacks. A file that changed since it was encoded is counted, and stays as it was.
fn missing(sources: Vec<Source>, writer: &Writer) -> (Vec<Source>, Tally) {
    let mut known: BTreeMap<&Path, Stamp> = BTreeMap::new();
    let mut texts: BTreeSet<&str> = BTreeSet::new();
    for item in writer.items() {
        match item {
            Item::Image { image, stamp } => drop(known.insert(image, *stamp)),
            Item::Text { text } => drop(texts.insert(text)),
        }
    }
    let mut tally = Tally::default();
    let is_new = |source: &Source| match source {
        Source::File(path) => match known.get(path.as_path()) {
            None => true,
            Some(stamp) => {
                tally.present += 1;
                tally.changed += usize::from(Stamp::of(path).is_ok_and(|now| now != *stamp));
                false
            }
        },
        Source::Text(text) => {
            let is_new = !texts.contains(text.as_str());
            tally.present += usize::from(!is_new);
            is_new
        }
    };
    let new: Vec<Source> = sources.into_iter().filter(is_new).collect();
    (new, tally)
}

/// Encodes items and adds them to the index, a part at a time: what is stored stays, whatever ends the process.
fn add(
    model: &OpenModel<'_>,
    facts: &Facts,
    writer: &mut Writer,
    sources: &[Source],
    mut tally: Tally,
    unreadable: Unreadable,
    progress: OnProgress<'_>,
) -> Result<Tally> {
    let (total, modality) = (sources.len(), facts.modality);
    for (at, part) in sources.chunks(TOGETHER).enumerate() {
        progress(&format!("codes of {modality}s"), Progress::Extracting { done: at * TOGETHER, total })?;
        let (mut items, mut prepared) = (Vec::new(), Vec::new());
        for ready in prepare(model, part, exif(facts)) {
            match ready {
                Ok((item, ready, turned)) => {
                    tally.turned += usize::from(turned);
                    tally.truncated += usize::from(matches!(ready, Prepared::Tokens { truncated: true, .. }));
                    items.push(item);
                    prepared.push(ready);
                }
                Err(reason) if unreadable == Unreadable::Fail => {
                    return Err(bad_input(format!("{reason}\nhelp: `--unreadable skip` leaves such files out")));
                }
                Err(reason) => tally.unreadable.push(reason),
            }
        }
        writer.append(&model.encoder.encode(modality, &prepared)?, &items)?;
        tally.added += items.len();
    }
    tally.items = writer.items().len();
    Ok(tally)
}

/// Reads the sources into the form that the encoder takes, and says which images were turned upright; images on all
/// cores, as their decoding takes longest.
fn prepare(model: &OpenModel<'_>, part: &[Source], exif: Exif) -> Vec<Result<(Item, Prepared, bool), String>> {
    let decoded: Vec<Result<(Stamp, Rgb, bool), String>> = part
        .par_iter()
        .filter_map(|source| if let Source::File(path) = source { Some(read(path, exif)) } else { None })
        .collect();
    let mut decoded = decoded.into_iter();
    let ready = |source: &Source| match source {
        Source::File(path) => {
            let (stamp, image, turned) =
                decoded.next().unwrap_or_else(|| Err(format!("{} was not read", path.display())))?;
            let prepared = model.encoder.prepare_image(&image).map_err(|error| format!("{error:#}"))?;
            Ok((Item::Image { image: path.clone(), stamp }, prepared, turned))
        }
        Source::Text(text) => {
            let prepared = model.encoder.prepare_text(text).map_err(|error| format!("`{text}`: {error:#}"))?;
            Ok((Item::Text { text: text.clone() }, prepared, false))
        }
    };
    part.iter().map(ready).collect()
}

/// The image of a file, and whether it was turned upright.
fn read(path: &Path, exif: Exif) -> Result<(Stamp, Rgb, bool), String> {
    let about = |error: &dyn std::fmt::Display| {
        let error = error.to_string();
        format!("{}: {}", path.display(), error.split("\nhelp: ").next().unwrap_or_default())
    };
    let stamp = Stamp::of(path).map_err(|error| about(&error))?;
    let bytes = content(path).map_err(|error| about(&error))?;
    let image = decode_with(&bytes, exif).map_err(|error| about(&error))?;
    let turned = exif == Exif::Apply && is_turned(&bytes).map_err(|error| about(&error))?;
    Ok((stamp, image, turned))
}

fn report(out: &Path, modality: Modality, tally: &Tally) -> Result<()> {
    let Tally { added, present, changed, truncated, turned, unreadable, items } = tally;
    for reason in unreadable.iter().take(NAMED) {
        warn(&format!("left out: {reason}"));
    }
    if unreadable.len() > NAMED {
        warn(&format!("left out: {} more", unreadable.len() - NAMED));
    }
    if *changed > 0 {
        let files = counted(*changed, "file");
        warn(&format!("{files} changed since they were encoded; the index has what they were"));
    }
    if *truncated > 0 {
        warn(&format!(
            "{} longer than the encoder takes; the rest of them does not count",
            counted(*truncated, "text")
        ));
    }
    let turned = if *turned == 0 { String::new() } else { format!(", {turned} turned upright") };
    let left_out = if unreadable.is_empty() { String::new() } else { format!(", {} left out", unreadable.len()) };
    print(&format!(
        "{}: {}; {added} added, {present} in it before{turned}{left_out}\n",
        out.display(),
        counted(*items, &modality.to_string())
    ))
}
