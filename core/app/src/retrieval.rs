//! Trained models by the run or the sweep that kept them, for items outside of any data set.

use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::Device;
use hashlab_pipeline::{EncoderContext, ItemEncoder, with_item_encoder};
use hashlab_store::{RunId, counted};

use crate::devices::check_gpu;
use crate::encode::model;
use crate::graph::file_digests;
use crate::weights::EncoderFiles;
use crate::{Workspace, bad_input};

/// A run's model, opened.
pub struct OpenModel<'a> {
    /// The run.
    pub run: RunId,
    /// Digest of the model's file.
    pub digest: String,
    /// Encodes items by it.
    pub encoder: &'a ItemEncoder<'a>,
}

impl Workspace {
    /// The run that `name` means: a run, or the one run of a sweep that kept its model.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if there is none, or several.
    pub fn run_with_model(&self, name: &str) -> Result<RunId> {
        let store = self.dirs.store();
        let id = RunId(name.to_owned());
        if store.run(&id).is_ok_and(|run| run.path().is_dir()) {
            return Ok(id);
        }
        let (plan, _) = self.newest_plan(name)?;
        let mut kept = Vec::new();
        for run in &plan.runs {
            if store.run(&run.id)?.model_path().is_file() {
                kept.push(run);
            }
        }
        match kept.as_slice() {
            [run] => Ok(run.id.clone()),
            [] => Err(bad_input(format!(
                "no run of the sweep `{name}` has a model\nhelp: `sweep FILE --keep all` keeps the models of runs that it trains"
            ))),
            several => {
                let lines = several.iter().map(|run| format!("\n  {}  {}, {} bits", run.id, run.label, run.bits));
                Err(bad_input(format!(
                    "{} of the sweep `{name}` have a model; name one of them:{}",
                    counted(several.len(), "run"),
                    lines.collect::<String>()
                )))
            }
        }
    }

    /// Opens the model of a run, and calls `work` with it. The files of its encoders are those that earlier plans found.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if the run has no model, or a file of its encoders is not known; if a file cannot be
    /// read; if `work` fails.
    pub fn with_model<T>(
        &self,
        run: &RunId,
        device: &Device,
        work: impl FnOnce(&OpenModel<'_>) -> Result<T>,
    ) -> Result<T> {
        let dir = self.dirs.store().run(run)?;
        let config = dir.config()?;
        check_gpu(&config, device)?;
        let method = self.registry.method(&config.method)?;
        let trained = model(&dir, &config.method, device)?;
        let files = EncoderFiles::noted(&self.dirs.weight_notes());
        for digest in file_digests(&config)? {
            files.path_of(&digest).map(drop).ok_or_else(|| unknown_file(run, &digest))?;
        }
        let bytes = std::fs::read(dir.model_path()).context("the model cannot be read")?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let cache = self.dirs.cache()?;
        let find = |digest: &str| files.path_of(digest).map(Path::to_owned);
        let context = EncoderContext { cache: &cache, encoders: self.registry.encoders, files: &find };
        with_item_encoder(&config, method, &trained, context, device, |encoder| {
            work(&OpenModel { run: run.clone(), digest, encoder })
        })
    }
}

pub(crate) fn unknown_file(run: &RunId, digest: &str) -> anyhow::Error {
    bad_input(format!(
        "the weights or the tokenizer of run `{run}`, digest {digest}, are not known here\n\
         help: `plan FILE` with the run's experiment finds them, or says what is missing"
    ))
}
