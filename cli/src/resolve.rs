//! Finds the weights that an experiment names, and puts their digest in the place of the file's name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hashlab_backbones::{Entry, Weights};
use hashlab_data::DataDirs;
use hashlab_engine::Settings;

/// The weight files of a plan, by digest.
#[derive(Default)]
pub(crate) struct WeightFiles(BTreeMap<String, PathBuf>);

impl WeightFiles {
    /// Resolves a `[backbone]` section for [`hashlab_engine::sweep::Experiment::plan`].
    pub(crate) fn resolve(&mut self, section: &Settings, dirs: &DataDirs) -> Result<Settings, String> {
        let text = |key: &str| section.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        let (name, weights) = (text("name"), text("weights"));
        let network = hashlab_backbones::find(&name).ok_or_else(|| format!("unknown backbone `{name}`"))?;
        let trained = section.get("finetune").is_some_and(|on| on == true);
        let digest = match (network.needs_weights, weights.as_str()) {
            (false, "") => "random".to_owned(),
            (true, "") if trained => "random".to_owned(),
            (false, _) => return Err(format!("backbone `{name}` starts from random weights; remove `weights`")),
            (true, "") => {
                return Err(format!(
                    "backbone `{name}` needs pretrained weights\nhelp: set `weights` in [backbone] to a safetensors file{}",
                    hint(network)
                ));
            }
            (true, weights) => {
                let path = find(weights, dirs, network)?;
                let digest = Weights::read(&path).map_err(|e| format!("{}: {e}", path.display()))?.digest().to_owned();
                self.0.insert(digest.clone(), path);
                digest
            }
        };
        let mut resolved = section.clone();
        resolved.shift_remove("weights");
        resolved.insert("digest".into(), digest.into());
        Ok(resolved)
    }

    /// The file of a resolved `[backbone]` section, if it has one.
    pub(crate) fn path_of(&self, section: &Settings) -> Option<&Path> {
        self.0.get(section.get("digest")?.as_str()?).map(PathBuf::as_path)
    }
}

/// Looks a weights file up: as a path, then in the folder `weights` of each data directory.
fn find(weights: &str, dirs: &DataDirs, network: &Entry) -> Result<PathBuf, String> {
    let mut looked = vec![PathBuf::from(weights)];
    for dir in &dirs.0 {
        looked.push(dir.join("weights").join(weights));
        looked.push(dir.join(weights));
    }
    if let Some(found) = looked.iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let places: Vec<String> = looked.iter().map(|path| format!("  looked at {}", path.display())).collect();
    Err(format!(
        "`weights` of [backbone], `{weights}`, was not found\n{}\nhelp: put the file into `weights` in your data directory \
         (--data-dir, HASHLAB_DATA or ./data), or name its path in [backbone]{}",
        places.join("\n"),
        hint(network)
    ))
}

/// Says which weights of a network can be downloaded, as the end of a message.
fn hint(network: &Entry) -> String {
    let file = network.published().and_then(|published| Path::new(published.files.first()?.place).file_name());
    file.map_or(String::new(), |file| {
        format!("; `hashlab fetch {}` downloads {}", network.name, file.to_string_lossy())
    })
}
