//! The best and the worst queries with what they found.

use askama::Template;
use hashlab_data::{Modality, Task};
use hashlab_store::{Neighbors, ShownItem, ShownItems};

use crate::aggregate::{Comparison, Setting};
use crate::details::{Details, RunDetails};
use crate::encodings::is_own;
use crate::error::ReportError;
use crate::wording::joined;

/// The most rows whose queries are shown: pictures are most of a page's size.
const ROWS: usize = 12;

/// A run's queries.
#[derive(Template)]
#[template(path = "queries.html")]
struct Queries {
    heading: String,
    open: bool,
    strips: Vec<Strip>,
}

/// A query and its nearest items.
struct Strip {
    heading: String,
    items: Vec<Item>,
}

/// An item of a strip.
struct Item {
    class: &'static str,
    sign: &'static str,
    picture: Option<String>,
    text: String,
    alt: String,
    labels: String,
}

/// A section per row: the first finished seed of its longest code.
pub(super) fn sections(comparison: &Comparison<'_>, details: &Details) -> Result<Vec<String>, ReportError> {
    let mut sections = Vec::new();
    for row in &comparison.rows {
        let longest = row.shown().filter(|s| s.any_finished()).max_by_key(|s| s.bits);
        let strips = longest.map(|setting| strips(setting, details)).unwrap_or_default();
        if let (Some(setting), Some((seed, strips))) = (longest, strips)
            && sections.len() < ROWS
        {
            let heading = format!("{}, {} bits, seed {seed}", row.label, setting.bits);
            sections.push(Queries { heading, open: sections.is_empty(), strips }.render()?);
        }
    }
    Ok(sections)
}

fn strips(setting: &Setting<'_>, details: &Details) -> Option<(u64, Vec<Strip>)> {
    let run = setting.runs.iter().find(|r| r.finished().is_some() && is_own(r))?;
    let details = details.get(&run.run)?;
    let queries = details.queries.as_ref()?;
    let several = queries.tasks.len() > 1;
    let mut strips = Vec::new();
    for (task, found) in &queries.tasks {
        let of = if several { format!("{task}, ") } else { String::new() };
        for (name, all) in [("best", &found.best), ("worst", &found.worst)] {
            for (rank, query) in all.iter().take(ShownItems::QUERIES).enumerate() {
                let heading =
                    format!("{of}{name} query {}: item {}, AP {:.3}", rank + 1, query.query, query.average_precision);
                strips.push(Strip { heading, items: items(*task, query, details) });
            }
        }
    }
    (!strips.is_empty()).then_some((run.seed, strips))
}

fn items(task: Task, query: &Neighbors, details: &RunDetails) -> Vec<Item> {
    let first = item(task.query, query.query, ("query", "query:"), details);
    let found = query.items.iter().zip(&query.relevant).map(|(&index, &relevant)| {
        let look = if relevant { ("relevant", "✓") } else { ("other", "✗") };
        item(task.database, index, look, details)
    });
    [first].into_iter().chain(found).collect()
}

fn item(modality: Modality, index: u32, (class, sign): (&'static str, &'static str), details: &RunDetails) -> Item {
    let none = ShownItem::default();
    let shown = details.items.as_ref().and_then(|items| items.items.get(modality)?.get(&index)).unwrap_or(&none);
    let labels = joined(&shown.labels);
    let role = if class == "query" {
        "query"
    } else if class == "relevant" {
        "relevant"
    } else {
        "not relevant"
    };
    Item {
        class,
        sign,
        picture: shown.jpeg.clone(),
        text: shown.text.clone().unwrap_or_else(|| format!("item {index}")),
        alt: format!("{role}, item {index}: {labels}"),
        labels,
    }
}
