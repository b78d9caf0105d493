//! Results of a search as a web page: as one file, or as the page of `serve`. Templates escape all text.

use std::path::Path;

use anyhow::Result;
use askama::Template;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashlab_data::Modality;
use hashlab_image::thumbnail;
use hashlab_report::source_hash;
use hashlab_store::counted;

use super::searcher::{Found, Searcher};
use crate::exit::one_line;

/// Longer side of a picture in pixels.
pub(crate) const SIDE: usize = 256;

const STYLE: &str = include_str!("../../templates/search.css");
const SCRIPT: &str = include_str!("../../templates/search.js");

/// Where pictures come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pictures {
    /// The page itself.
    Embedded,
    /// The server of the page.
    Served,
}

#[derive(Template)]
#[template(path = "search.html")]
struct Page {
    title: String,
    facts: String,
    style: &'static str,
    style_hash: String,
    /// The form, on the page of a server.
    form: Option<Form>,
    results: Option<Results>,
    refused: Option<String>,
}

struct Form {
    script: &'static str,
    script_hash: String,
    texts: bool,
    images: bool,
    text: String,
}

#[derive(Template)]
#[template(path = "results.html")]
struct Results {
    summary: String,
    truncated: bool,
    results: Vec<Shown>,
}

/// A result as the page shows it.
struct Shown {
    rank: usize,
    distance: u32,
    /// The text, or the end of the path.
    name: String,
    whole: String,
    /// The address of the picture; none of a text, and of a file that is gone.
    picture: Option<String>,
    is_image: bool,
}

/// The page of a search, as one file.
///
/// # Errors
/// If a template fails.
pub(crate) fn of_search(searcher: &Searcher<'_>, found: &Found, pictures: Pictures) -> Result<String> {
    let results = results_of(searcher, found, pictures);
    let title = format!("Search for {}", found.query);
    page(searcher, title, None, Some(results), None)
}

/// The page of a server, with results if there are any.
///
/// # Errors
/// If a template fails.
pub(crate) fn of_site(searcher: &Searcher<'_>, found: Option<Result<Found>>, pictures: Pictures) -> Result<String> {
    let (found, refused) = match found {
        None => (None, None),
        Some(Ok(found)) => (Some(found), None),
        Some(Err(error)) => (None, Some(one_line(&error))),
    };
    let form = Form {
        script: SCRIPT,
        script_hash: source_hash(SCRIPT),
        texts: searcher.takes(Modality::Text),
        images: searcher.takes(Modality::Image),
        text: found.as_ref().map(|found| found.query.clone()).unwrap_or_default(),
    };
    let results = found.map(|found| results_of(searcher, &found, pictures));
    page(searcher, "Search".into(), Some(form), results, refused)
}

/// The results alone, for the script of the page.
///
/// # Errors
/// If the template fails.
pub(crate) fn results(searcher: &Searcher<'_>, found: &Found) -> Result<String> {
    Ok(results_of(searcher, found, Pictures::Served).render()?)
}

fn page(
    searcher: &Searcher<'_>,
    title: String,
    form: Option<Form>,
    results: Option<Results>,
    refused: Option<String>,
) -> Result<String> {
    let facts = searcher.index.facts();
    let items = counted(searcher.index.items().len(), &facts.modality.to_string());
    let facts = format!("{items}, {} bits, {}", facts.bits, facts.run);
    Ok(Page { title, facts, style: STYLE, style_hash: source_hash(STYLE), form, results, refused }.render()?)
}

fn results_of(searcher: &Searcher<'_>, found: &Found, pictures: Pictures) -> Results {
    let shown = |(rank, hit): (usize, &hashlab_index::Hit)| {
        let image = searcher.index.image(hit.item);
        let picture = image.and_then(|path| match pictures {
            Pictures::Served => Some(format!("/picture/{}", hit.item)),
            Pictures::Embedded => embedded(searcher, path),
        });
        let whole = searcher.index.items()[hit.item].to_string();
        let name = image.map_or_else(|| whole.clone(), |path| end_of(path));
        Shown { rank: rank + 1, distance: hit.distance, name, whole, picture, is_image: image.is_some() }
    };
    let summary = format!(
        "{} nearest to “{}”; query encoded in {:.3?}, searched in {:.3?}",
        found.hits.len(),
        found.query,
        found.encoding,
        found.searching
    );
    let results = found.hits.iter().enumerate().map(shown).collect();
    Results { summary, truncated: found.truncated, results }
}

/// The folder and the name of a file.
fn end_of(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

/// A picture as an address that holds it; none of a file that is gone.
fn embedded(searcher: &Searcher<'_>, path: &Path) -> Option<String> {
    let image = searcher.decode(&std::fs::read(path).ok()?).ok()?;
    Some(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(thumbnail(&image, SIDE).ok()?)))
}
