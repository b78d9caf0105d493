//! What every subcommand works with: the registries, the places, and how things are looked up in them.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, Result};
use hashlab_bank::Bank;
use hashlab_data::{DataDirs, Dataset};
use hashlab_engine::store::Store;
use hashlab_engine::sweep::{Experiment, Overrides, PREFIX, did_you_mean, load};
use hashlab_engine::{Catalog, DatasetDecl, ProtocolDecl, Schema, SchemaError, Settings};
use hashlab_model::config::{BackboneConfig, EvalConfig, TrainConfig};
use hashlab_model::registry::schema_of;

use crate::Registry;
use crate::args::{ExperimentArgs, Places};
use crate::exit::bad_input;

/// The experiment that `hashlab sweep` runs without a file.
const QUICKSTART: (&str, &str) = ("quickstart.toml", include_str!("../../experiments/quickstart.toml"));

pub(crate) struct Context {
    pub(crate) registry: Registry,
    pub(crate) places: Places,
    pub(crate) dirs: DataDirs,
}

/// A checked experiment, with the text it was read from.
pub(crate) struct Loaded {
    pub(crate) experiment: Experiment,
    pub(crate) text: String,
}

impl Context {
    pub(crate) fn new(registry: Registry, places: Places) -> Self {
        let dirs = DataDirs::discover(places.data_dir.clone());
        Self { registry, places, dirs }
    }

    /// Checks what no command could work with.
    pub(crate) fn check(&self) -> Result<()> {
        let runs = &self.places.runs;
        if runs.exists() && !runs.is_dir() {
            let runs = runs.display();
            return Err(bad_input(format!("`--runs {runs}` names a file\nhelp: name a directory, which may be new")));
        }
        Ok(())
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.places.runs)
    }

    pub(crate) fn bank(&self) -> Result<Bank> {
        let root = self.places.bank.clone().unwrap_or_else(|| self.places.runs.join("bank"));
        Ok(Bank::open(root, self.places.bank_limit)?)
    }

    pub(crate) fn method(&self, name: &str) -> Result<&'static hashlab_model::Entry> {
        self.registry
            .methods
            .iter()
            .find(|m| m.info.name == name)
            .ok_or_else(|| unknown("method", name, self.registry.methods.iter().map(|m| m.info.name)))
    }

    pub(crate) fn dataset(&self, name: &str) -> Result<&'static hashlab_data::Entry> {
        self.registry
            .datasets
            .iter()
            .find(|d| d.info().name == name)
            .ok_or_else(|| unknown("data set", name, self.registry.datasets.iter().map(|d| d.info().name)))
    }

    pub(crate) fn open_dataset(&self, name: &str, settings: &Settings) -> Result<Box<dyn Dataset>> {
        Ok(self.dataset(name)?.open(settings, &self.dirs)?)
    }

    /// Reads and checks an experiment file with its overrides.
    pub(crate) fn load(&self, args: &ExperimentArgs) -> Result<Loaded> {
        let (origin, text) = match &args.file {
            None => (Path::new(QUICKSTART.0).to_owned(), QUICKSTART.1.to_owned()),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| {
                    bad_input(format!("cannot read {}: {e}\nhelp: examples are in `experiments/`", path.display()))
                })?;
                (path.clone(), text)
            }
        };
        let env = overriding_env();
        let overrides = Overrides { env, set: args.set.clone() };
        let experiment = load(&text, &origin, &self.catalog(), &overrides)
            .map_err(|mistakes| bad_input(mistakes.render(colour_on_stderr())))?;
        Ok(Loaded { experiment, text })
    }

    /// Declares everything that an experiment may name.
    pub(crate) fn catalog(&self) -> Catalog {
        Catalog {
            methods: self.registry.methods.iter().map(|method| method.declare()).collect(),
            datasets: self.registry.datasets.iter().map(declare_dataset).collect(),
            backbone: schema_of::<BackboneConfig>(),
            train: schema_of::<TrainConfig>(),
            eval: schema_of::<EvalConfig>(),
        }
    }
}

/// Says that there is no `what` called `name`, and which there are.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> anyhow::Error {
    bad_input(format!("unknown {what} `{name}`\nhelp: {}", did_you_mean(name, known)))
}

fn declare_dataset(entry: &hashlab_data::Entry) -> DatasetDecl {
    let (info, entry) = (entry.info(), *entry);
    let protocols = info.protocols.iter().map(|protocol| ProtocolDecl {
        name: protocol.name.to_owned(),
        description: protocol.description.to_owned(),
        map_at: protocol.map_at,
    });
    DatasetDecl {
        name: info.name.to_owned(),
        title: info.title.to_owned(),
        identity: info.identity.to_owned(),
        settings: Schema {
            defaults: entry.defaults(),
            docs: entry.docs(),
            check: std::sync::Arc::new(move |settings| {
                entry.check(settings).map_err(|message| SchemaError { key: None, message })
            }),
            idle: std::sync::Arc::new(|_| Vec::new()),
        },
        protocols: protocols.collect(),
    }
}

/// The variables that override settings of experiments.
pub(crate) fn overriding_env() -> Vec<(String, String)> {
    let readable =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned()));
    std::env::vars_os().filter_map(readable).filter(|(name, _)| name.starts_with(PREFIX)).collect()
}

/// Whether diagnostics may use colour.
pub(crate) fn colour_on_stderr() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether tables may use bold and underline.
pub(crate) fn colour_on_stdout() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
