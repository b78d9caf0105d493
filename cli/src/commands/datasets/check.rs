//! `hashlab datasets check`: reads every item once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use hashlab_data::{Contents, Dataset, Images, ItemData, Modality, Texts};
use hashlab_settings::Settings;
use rayon::prelude::*;

use super::holdings;
use crate::args::{CheckArgs, ExperimentArgs};
use crate::context::{Context, print};
use crate::exit::bad_input;

/// Broken items that are named.
const NAMED: usize = 20;

pub(crate) fn run(context: &Context, args: &CheckArgs) -> Result<ExitCode> {
    let (name, settings) = chosen(context, args)?;
    let dataset = context.registry().dataset(&name)?.open(&settings, &context.dirs().data)?;
    let mut text = format!("{name}\n{}", holdings(dataset.info(), &Contents::of(dataset.as_ref())?));
    for line in dataset.findings() {
        let _ = writeln!(text, "{line}");
    }
    let mut broken = 0;
    if let Some(ItemData::Images(images)) = dataset.data(Modality::Image) {
        let found = read_images(images, dataset.len());
        broken += found.broken.len();
        text += &found.report();
    }
    if let Some(ItemData::Texts(texts)) = dataset.data(Modality::Text) {
        text += &read_texts(texts, dataset.as_ref())?;
    }
    print(&text)?;
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// The data set that is meant, and its settings.
fn chosen(context: &Context, args: &CheckArgs) -> Result<(String, Settings)> {
    let known = |name: &str| context.registry().dataset(name).is_ok();
    let is_file = Path::new(&args.target).is_file() || args.target.ends_with(".toml");
    if known(&args.target) && !is_file {
        if !args.set.is_empty() {
            return Err(bad_input("`--set` changes an experiment file\nhelp: name such a file in place of a data set"));
        }
        return Ok((args.target.clone(), Settings::new()));
    }
    if !is_file {
        return Err(context.registry().dataset(&args.target).err().unwrap_or_else(|| bad_input("no such file")));
    }
    let plan = context.plan(&ExperimentArgs { file: Some(PathBuf::from(&args.target)), set: args.set.clone() })?.plan;
    let config = plan.runs.into_iter().next().map(|run| run.config());
    let config = config.ok_or_else(|| bad_input("the experiment has no run\nhelp: add a [[method]]"))?;
    Ok((config.dataset, config.data))
}

/// What reading all images found.
#[derive(Default)]
struct Found {
    read: usize,
    /// Numbers of items that cannot be read, and why.
    broken: Vec<(usize, String)>,
    turned: usize,
    widths: Vec<u32>,
    heights: Vec<u32>,
    formats: BTreeMap<&'static str, usize>,
}

impl Found {
    fn and(mut self, other: Self) -> Self {
        self.read += other.read;
        self.turned += other.turned;
        self.broken.extend(other.broken);
        self.widths.extend(other.widths);
        self.heights.extend(other.heights);
        for (format, count) in other.formats {
            *self.formats.entry(format).or_default() += count;
        }
        self
    }

    fn report(mut self) -> String {
        let mut text = format!("\n{} images read", self.read);
        let formats: Vec<String> = self.formats.iter().map(|(format, count)| format!("{count} {format}")).collect();
        if !formats.is_empty() {
            let _ = write!(text, ": {}", formats.join(", "));
        }
        let _ = writeln!(text);
        for (what, sizes) in [("width", &mut self.widths), ("height", &mut self.heights)] {
            sizes.sort_unstable();
            if let (Some(least), Some(most)) = (sizes.first(), sizes.last()) {
                let _ = writeln!(text, "  {what:7}{least} to {most} pixels, median {}", sizes[sizes.len() / 2]);
            }
        }
        if self.turned > 0 {
            let _ =
                writeln!(text, "  {} have an EXIF orientation, which `exif = \"apply\"` in [data] heeds", self.turned);
        }
        self.broken.sort();
        for (item, error) in self.broken.iter().take(NAMED) {
            let problem = error.split("\nhelp: ").next().unwrap_or(error);
            let _ = writeln!(text, "  cannot be read: item {item}: {problem}");
        }
        if self.broken.len() > NAMED {
            let _ = writeln!(text, "  … and {} more", self.broken.len() - NAMED);
        }
        if !self.broken.is_empty() {
            let _ = writeln!(
                text,
                "\n{} images cannot be read\nhelp: replace the files; `unreadable = \"skip\"` in [data] leaves such items out of data sets of your own",
                self.broken.len()
            );
        }
        text
    }
}

fn read_images(images: &dyn Images, items: usize) -> Found {
    (0..items).into_par_iter().map(|item| read_image(images, item)).reduce(Found::default, Found::and)
}

fn read_image(images: &dyn Images, item: usize) -> Found {
    let mut found = Found::default();
    match images.image(item) {
        Ok(image) => {
            found.read = 1;
            found.widths.push(image.width as u32);
            found.heights.push(image.height as u32);
        }
        Err(error) => found.broken.push((item, error.to_string())),
    }
    if let Ok(Some(bytes)) = images.encoded(item) {
        *found.formats.entry(hashlab_image::format_name(&bytes)).or_default() += 1;
        found.turned = usize::from(hashlab_image::is_turned(&bytes).unwrap_or(false));
    }
    found
}

/// Reads all captions, and counts their words.
fn read_texts(texts: &dyn Texts, dataset: &dyn Dataset) -> Result<String> {
    let mut words: Vec<usize> = Vec::with_capacity(dataset.len() * texts.captions());
    for item in 0..dataset.len() {
        for caption in 0..texts.captions() {
            words.push(texts.text(item, caption)?.split_whitespace().count());
        }
    }
    words.sort_unstable();
    let [Some(least), Some(most)] = [words.first(), words.last()] else { return Ok(String::new()) };
    Ok(format!(
        "\n{} captions read, {} per item\n  {:7}{least} to {most}, median {}\n",
        words.len(),
        texts.captions(),
        "words",
        words[words.len() / 2]
    ))
}
