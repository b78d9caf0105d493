//! Queries to an index: an image or a text in, the nearest items out.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use candle_core::Device;
use hashlab_app::{OpenModel, Workspace};
use hashlab_data::Modality;
use hashlab_image::{Exif, ImageError, Rgb, decode_with};
use hashlab_index::{Facts, Hit, Index};
use hashlab_pipeline::Prepared;
use hashlab_store::RunId;

use crate::exit::bad_input;

/// An index with the model that made it.
pub(crate) struct Searcher<'a> {
    pub(crate) index: &'a Index,
    model: &'a OpenModel<'a>,
}

/// The items nearest to a query.
pub(crate) struct Found {
    /// The query as a person reads it.
    pub(crate) query: String,
    pub(crate) hits: Vec<Hit>,
    /// Whether the query's text has more tokens than the encoder takes.
    pub(crate) truncated: bool,
    /// Time to encode the query.
    pub(crate) encoding: Duration,
    /// Time of the search.
    pub(crate) searching: Duration,
}

/// Opens an index and its model, and calls `work` with both.
///
/// # Errors
/// If the index, or the model of its run, cannot be read; if the run was trained again since; if `work` fails.
pub(crate) fn with_searcher<T>(
    workspace: &Workspace,
    folder: &Path,
    device: &Device,
    work: impl FnOnce(&Searcher<'_>) -> Result<T>,
) -> Result<T> {
    let index = Index::open(folder)?;
    let run = RunId(index.facts().run.clone());
    workspace.with_model(&run, device, |model| {
        let facts = facts(model, index.facts().modality).with_upright(index.facts().upright);
        if facts != *index.facts() {
            let folder = folder.display();
            return Err(bad_input(format!(
                "{folder} was made by another model of run `{run}`, which was trained again since\n\
                 help: make the index anew"
            )));
        }
        work(&Searcher { index: &index, model })
    })
}

/// Facts about the codes of a model.
pub(crate) fn facts(model: &OpenModel<'_>, modality: Modality) -> Facts {
    Facts::new(&model.run.0, &model.digest, model.encoder.bits(), modality)
}

/// How the images of an index are decoded.
pub(crate) fn exif(facts: &Facts) -> Exif {
    if facts.upright { Exif::Apply } else { Exif::Ignore }
}

impl Searcher<'_> {
    /// Decodes an image as those of the index were.
    ///
    /// # Errors
    /// If the bytes are no image.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Rgb, ImageError> {
        decode_with(bytes, exif(self.index.facts()))
    }

    /// Whether queries of a modality are understood.
    pub(crate) fn takes(&self, modality: Modality) -> bool {
        self.model.encoder.modalities().any(|other| other == modality)
    }

    /// Searches for a text.
    ///
    /// # Errors
    /// [`BadInput`](hashlab_app::BadInput) if the model encodes no texts, or the text has no word.
    pub(crate) fn text(&self, text: &str, top: usize) -> Result<Found> {
        self.check(Modality::Text)?;
        if text.trim().is_empty() {
            return Err(bad_input("there is no text to search for"));
        }
        let started = Instant::now();
        let prepared = self.model.encoder.prepare_text(text).map_err(|error| bad_input(format!("{error:#}")))?;
        self.search(Modality::Text, text.to_owned(), prepared, started, top)
    }

    /// Searches for an image, given as the bytes of its file; `name` is for people.
    ///
    /// # Errors
    /// [`BadInput`](hashlab_app::BadInput) if the model encodes no images, or the file is no image.
    pub(crate) fn image(&self, name: &str, bytes: &[u8], top: usize) -> Result<Found> {
        self.check(Modality::Image)?;
        let started = Instant::now();
        let image = self.decode(bytes).map_err(|error| bad_input(format!("{name}: {error}")))?;
        let prepared = self.model.encoder.prepare_image(&image)?;
        self.search(Modality::Image, name.to_owned(), prepared, started, top)
    }

    fn check(&self, modality: Modality) -> Result<()> {
        if self.takes(modality) {
            return Ok(());
        }
        let known: Vec<String> = self.model.encoder.modalities().map(|known| format!("{known}s")).collect();
        Err(bad_input(format!(
            "run `{}` encodes {}, not {modality}s\nhelp: an index of a cross-modal method takes both",
            self.model.run,
            known.join(" and ")
        )))
    }

    fn search(
        &self,
        modality: Modality,
        query: String,
        prepared: Prepared,
        started: Instant,
        top: usize,
    ) -> Result<Found> {
        let truncated = matches!(prepared, Prepared::Tokens { truncated: true, .. });
        let codes = self.model.encoder.encode(modality, &[prepared]).context("the query cannot be encoded")?;
        let (encoding, started) = (started.elapsed(), Instant::now());
        let hits = self.index.nearest(codes.item(0), top);
        Ok(Found { query, hits, truncated, encoding, searching: started.elapsed() })
    }
}
