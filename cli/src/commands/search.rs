//! `hashlab search`: the items of an index that are nearest to an image or a text.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use crate::args::{SearchArgs, TextOrJson};
use crate::context::{Context, print, warn};
use crate::exit::bad_input;
use crate::out;
use crate::retrieval::collection::content;
use crate::retrieval::page::{self, Pictures};
use crate::retrieval::searcher::{Found, Searcher, with_searcher};

pub(crate) fn run(context: &Context, args: &SearchArgs) -> Result<ExitCode> {
    args.html.as_deref().map_or(Ok(()), out::check)?;
    let device = args.device.name.open()?;
    with_searcher(&context.workspace, &args.index, &device, |searcher| {
        let found = match (&args.query.text, &args.query.image) {
            (Some(text), _) => searcher.text(text, args.top.get())?,
            (None, Some(path)) => {
                let bytes = content(path);
                let bytes = bytes.map_err(|error| bad_input(format!("cannot read {}: {error}", path.display())))?;
                searcher.image(&path.display().to_string(), &bytes, args.top.get())?
            }
            (None, None) => return Err(bad_input("there is no query\nhelp: `--text TEXT` or `--image FILE`")),
        };
        if found.truncated {
            warn("the text is longer than the encoder takes; the rest of it does not count");
        }
        if let Some(path) = &args.html {
            out::write(path, page::of_search(searcher, &found, Pictures::Embedded)?.as_bytes())?;
        }
        print(&match args.format {
            TextOrJson::Text => text(searcher, &found),
            TextOrJson::Json => format!("{:#}\n", json(searcher, &found)),
        })
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(searcher: &Searcher<'_>, found: &Found) -> String {
    let mut lines = String::from("rank  distance  item\n");
    for (rank, hit) in found.hits.iter().enumerate() {
        lines += &format!("{:>4}  {:>8}  {}\n", rank + 1, hit.distance, searcher.index.items()[hit.item]);
    }
    lines
}

/// The results for programs; times are in seconds.
pub(super) fn json(searcher: &Searcher<'_>, found: &Found) -> Value {
    let result = |(rank, hit): (usize, &hashlab_index::Hit)| {
        let mut result = json!({ "rank": rank + 1, "distance": hit.distance, "position": hit.item });
        let name = searcher.index.items()[hit.item].to_string();
        result[searcher.index.facts().modality.to_string()] = name.into();
        result
    };
    json!({
        "query": found.query,
        "bits": searcher.index.facts().bits,
        "items": searcher.index.items().len(),
        "results": found.hits.iter().enumerate().map(result).collect::<Vec<_>>(),
        "seconds": { "encode": found.encoding.as_secs_f64(), "search": found.searching.as_secs_f64() },
    })
}
