//! `hashlab fetch`: downloads what data sets and encoders have on the Hugging Face hub, or lists it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use candle_core::Device;
use hashlab_data::DataError;
use hashlab_encoders::{EncoderEntry, Weights};
use hashlab_hub::{File, Published};
use hashlab_settings::Settings;

use crate::args::FetchArgs;
use crate::context::{Context, print};
use crate::exit::bad_input;
use crate::hub::Hub;

#[cfg(test)]
mod tests;

pub(crate) fn run(context: &Context, args: &FetchArgs) -> Result<ExitCode> {
    if args.names.is_empty() {
        print(&list(context))?;
    }
    let items = args.names.iter().map(|name| Item::find(context, name)).collect::<Result<Vec<_>>>()?;
    for item in items {
        fetch(context, &item, &Hub::from_env())?;
    }
    Ok(ExitCode::SUCCESS)
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
    for file in published.files {
        let place = dir.join(file.place);
        if place.exists() {
            item.check_file(file, &place)?;
        } else {
            print(&format!("  {} ({:.1} MB) ...\n", file.name, file.megabytes))?;
            hub.download(published, file, dir)?;
        }
        print(&lines(&[place]))?;
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
        datasets.chain(encoders).filter_map(|(what, published)| Some(Self { what, published: published? })).collect()
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
                for (file, place) in self.published.files.iter().zip(files.iter().flatten()) {
                    self.check_file(file, place)?;
                }
                Ok(files.unwrap_or_default())
            }
        }
    }

    /// Compares a file that was there before with the published one.
    fn check_file(&self, file: &File, place: &Path) -> Result<()> {
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
                for file in self.published.files {
                    let weights = Weights::read(&context.dirs().data.target().join(file.place))?;
                    entry.open(Some(&weights), &Device::Cpu)?;
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
                let file = self.published.files.first().and_then(|file| Path::new(file.place).file_name());
                let file = file.unwrap_or_default().to_string_lossy();
                format!("In an experiment: [image] with encoder = \"{}\" and weights = \"{file}\".\n", entry.name())
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
    match entry.hub_model() {
        Some(model) => format!(
            "no verified file of weights of encoder `{name}` is known; it reads model.safetensors of {model} on the Hugging \
             Face hub"
        ),
        None => format!(
            "weights of encoder `{name}` are not on the hub in a form that is read; in Python, make them from torchvision's:\n  \
             safetensors.torch.save_file(torchvision.models.{name}(weights=\"DEFAULT\").state_dict(), \"{name}.safetensors\")"
        ),
    }
}
