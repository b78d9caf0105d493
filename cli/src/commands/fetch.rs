//! `hashlab fetch`: downloads what data sets and encoders have on the Hugging Face hub, and all that experiments need, or
//! lists what is there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use candle_core::Device;
use hashlab_data::DataError;
use hashlab_encoders::{EncoderEntry, Tokenizer, Weights};
use hashlab_hub::{Published, Remote};
use hashlab_settings::Settings;

use crate::args::{ExperimentArgs, FetchArgs};
use crate::context::{Context, print};
use crate::exit::bad_input;
use crate::files::{self, Extent};
use crate::hub::Hub;

#[cfg(test)]
mod stand_ins;
#[cfg(test)]
mod tests;

pub(crate) fn run(context: &Context, args: &FetchArgs) -> Result<ExitCode> {
    if args.names.is_empty() {
        print(&list(context))?;
    }
    let hub = Hub::from_env(args.network.offline);
    let (experiments, names): (Vec<_>, Vec<_>) = args.names.iter().partition(|name| is_file(name));
    let items = names.into_iter().map(|name| Item::find(context, name)).collect::<Result<Vec<_>>>()?;
    for item in items {
        fetch(context, &item, &hub)?;
    }
    for file in experiments {
        let experiment = ExperimentArgs { file: Some(file.into()), set: args.set.clone() };
        files::plan(context, &experiment, Extent::All, &hub, &print)?;
        print(&format!("all that {file} needs from the hub is here; `hashlab sweep {file}` runs it\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a name is that of an experiment file.
fn is_file(name: &str) -> bool {
    name.ends_with(".toml") || name.contains('/')
}

/// Downloads what is absent, then opens the whole as an experiment would.
fn fetch(context: &Context, item: &Item, hub: &Hub) -> Result<()> {
    let here = item.here(context)?;
    if !here.is_empty() {
        print(&format!("{} is already here:\n{}", item.name(), lines(&here)))?;
        return print(&item.next());
    }
    let (published, dir) = (item.published, context.dirs().data.target());
    print(&format!("{}: from {}, license: {}\n", item.name(), published.page(), published.license))?;
    for file in published.remotes() {
        let place = dir.join(&file.place);
        if place.exists() {
            item.check_file(&file, &place)?;
            print(&lines(&[place]))?;
        } else {
            print(&format!("  {} ({:.1} MB) ...\n", file.name, file.megabytes.unwrap_or_default()))?;
            let arrived = hub.bring(&file, dir)?;
            print(&lines(&[place]))?;
            if file.sha256.is_none() {
                print(&format!("  SHA-256 {}, which no source states beforehand\n", arrived.sha256))?;
            }
        }
    }
    item.check(context)?;
    print(&item.next())
}

fn lines(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("  {}\n", path.display())).collect()
}

fn list(context: &Context) -> String {
    let items = Item::all(context);
    let width = items.iter().map(|item| item.name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for item in items {
        let published = item.published;
        let _ = writeln!(text, "{:width$}  {:6.1} MB  {}", item.name(), published.megabytes(), item.title());
        for line in [published.page(), format!("license: {}", published.license)] {
            let _ = writeln!(text, "{:width$}             {line}", "");
        }
    }
    let dir = context.dirs().data.target().display();
    text + &format!(
        "\n`hashlab fetch NAME…` downloads into {dir}; --data-dir or HASHLAB_DATA name another directory.\n"
    )
}

/// What can be fetched.
struct Item<'a> {
    what: What<'a>,
    published: &'a Published,
}

enum What<'a> {
    Dataset(&'a hashlab_data::DatasetEntry),
    Encoder(&'a EncoderEntry),
}

impl<'a> Item<'a> {
    fn all(context: &'a Context) -> Vec<Self> {
        let datasets = context.registry().datasets.iter().map(|entry| (What::Dataset(entry), entry.published.as_ref()));
        let encoders = context.registry().encoders.iter().map(|entry| (What::Encoder(entry), entry.published()));
        let mut items: Vec<Self> = Vec::new();
        for (what, published) in datasets.chain(encoders) {
            let Some(published) = published else { continue };
            let item = Self { what, published };
            // The encoders of images and of texts of one name read the same weights; that of texts has a tokenizer, too.
            match items.iter_mut().find(|known| known.name() == item.name()) {
                Some(known) if known.published.files.len() < published.files.len() => *known = item,
                Some(_) => {}
                None => items.push(item),
            }
        }
        items
    }

    fn find(context: &'a Context, name: &str) -> Result<Self> {
        let (found, others): (Vec<_>, Vec<_>) = Self::all(context).into_iter().partition(|item| item.name() == name);
        found.into_iter().next().ok_or_else(|| {
            let known: Vec<_> = others.iter().map(Item::name).collect();
            bad_input(format!("{}\nhelp: can be fetched: {}", unavailable(context, name), known.join(", ")))
        })
    }

    fn name(&self) -> &'static str {
        match self.what {
            What::Dataset(entry) => entry.summary.name,
            What::Encoder(entry) => entry.name(),
        }
    }

    fn title(&self) -> &'static str {
        match self.what {
            What::Dataset(entry) => entry.summary.description,
            What::Encoder(entry) => entry.doc(),
        }
    }

    /// The files, where all of them are in a data directory already. A data set may be there in another layout.
    fn here(&self, context: &Context) -> Result<Vec<PathBuf>> {
        match self.what {
            What::Dataset(entry) => match entry.open(&Settings::new(), &context.dirs().data) {
                Ok(dataset) => Ok(dataset.found_at()),
                Err(DataError::Missing { .. }) => Ok(Vec::new()),
                Err(error) => Err(error.into()),
            },
            What::Encoder(_) => {
                let find = |place: &str| {
                    context.dirs().data.search.iter().map(|dir| dir.join(place)).find(|path| path.is_file())
                };
                let files: Option<Vec<_>> = self.published.files.iter().map(|file| find(file.place)).collect();
                for (file, place) in self.published.remotes().zip(files.iter().flatten()) {
                    self.check_file(&file, place)?;
                }
                Ok(files.unwrap_or_default())
            }
        }
    }

    /// Compares a file that was there before with the published one.
    fn check_file(&self, file: &Remote, place: &Path) -> Result<()> {
        let help = format!("help: remove it, and `hashlab fetch {}` downloads it", self.name());
        Hub::damage(file, place)?.map_or(Ok(()), |damage| Err(bad_input(format!("{damage}\n{help}"))))
    }

    /// Reads and verifies the files as an experiment does.
    fn check(&self, context: &Context) -> Result<()> {
        match self.what {
            What::Dataset(entry) => {
                entry.open(&Settings::new(), &context.dirs().data)?.digest()?;
            }
            What::Encoder(entry) => {
                let places: Vec<PathBuf> =
                    self.published.files.iter().map(|file| context.dirs().data.target().join(file.place)).collect();
                let weights = Weights::read(&places[0])?;
                entry.open(Some(&weights), &Device::Cpu)?;
                if let (Some(text), Some(tokenizer)) = (entry.text(), places.get(1)) {
                    Tokenizer::read(tokenizer, text.max_tokens, text.padding)?;
                }
            }
        }
        Ok(())
    }

    /// What to do with it.
    fn next(&self) -> String {
        match self.what {
            What::Dataset(entry) => {
                let name = entry.summary.name;
                format!("In an experiment: dataset = \"{name}\"; `hashlab datasets {name}` describes it.\n")
            }
            What::Encoder(entry) => {
                let section = if entry.text().is_some() { "text" } else { "image" };
                format!("In an experiment: [{section}] with encoder = \"{}\".\n", entry.name())
            }
        }
    }
}

/// Says why `name` cannot be fetched.
fn unavailable(context: &Context, name: &str) -> String {
    if let Some(entry) = context.registry().datasets.iter().find(|entry| entry.summary.name == name) {
        return format!("data set `{name}` is not on the hub: {}", entry.summary.source);
    }
    let Some(entry) = context.registry().encoders.iter().find(|entry| entry.name() == name) else {
        return format!("there is no data set or encoder `{name}`");
    };
    if !entry.needs_weights() {
        return format!("encoder `{name}` reads no weights file");
    }
    format!(
        "weights of encoder `{name}` are not on the hub in a form that is read; in Python, make them from torchvision's:\n  \
         safetensors.torch.save_file(torchvision.models.{name}(weights=\"DEFAULT\").state_dict(), \"{name}.safetensors\")"
    )
}
