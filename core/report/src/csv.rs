//! For a spreadsheet: one line per cell or setting, and task; full precision. Each line carries the header, and all
//! sweeps have the same columns, so that files of several can be concatenated and read without options.

use hashlab_data::{Modality, Task};
use hashlab_settings::canonical;
use hashlab_store::{ENCODE_ITEM, SEARCH_QUERY};

use crate::aggregate::{Cell, Setting, Value};
use crate::citations::Citations;
use crate::facts::{builds, provenance};
use crate::layout::Layout;
use crate::metrics::{info, title};
use crate::setup::EncoderWeights;
use crate::warnings::code_mark;
use crate::warnings::{COLLAPSED, CONSTANT_BITS};
use crate::wording::joined;

type Field = (String, String);

/// Writes the comparison; a number that does not exist is an empty field.
pub(crate) fn write(layout: &Layout<'_>) -> String {
    lines(layout, true)
}

/// The lines, the first of them with the columns' names if `titled`.
pub(crate) fn lines(layout: &Layout<'_>, titled: bool) -> String {
    let citations = Citations::of(layout, &mut Vec::new());
    let header = header(layout);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut titled = !titled;
    for (label, cell, i) in layout.rows() {
        for &task in &layout.comparison.tasks {
            let fields = [header.clone(), record(layout, &citations, label, cell, i, task)].concat();
            if !titled {
                writer.write_record(fields.iter().map(|(name, _)| name)).expect("memory can be written");
            }
            titled = true;
            writer.write_record(fields.iter().map(|(_, value)| value)).expect("memory can be written");
        }
    }
    String::from_utf8(writer.into_inner().expect("memory can be written")).expect("fields are text")
}

/// What all lines share.
fn header(layout: &Layout<'_>) -> Vec<Field> {
    let header = &layout.report.header;
    let versions = provenance(layout.report, "hashlab").into_iter().collect::<Vec<_>>().join(" ");
    let definition = info(layout.primary()).map_or(String::new(), |metric| metric.sentence(header.map_at));
    vec![
        field("sweep", &layout.report.name),
        field("dataset", &header.dataset),
        field("dataset_digest", header.dataset_digest.as_deref().unwrap_or_default()),
        field("protocol", &header.protocol),
        field("map_at", title(layout.primary(), header.map_at)),
        field("map_definition", definition),
        field("hashlab", versions),
        field("builds", joined(builds(layout.report).into_iter().map(|(build, _)| build))),
    ]
}

fn record(
    layout: &Layout<'_>,
    citations: &Citations<'_>,
    label: &str,
    cell: &Cell<'_>,
    i: usize,
    task: Task,
) -> Vec<Field> {
    let setting = &cell.settings[i];
    let mut fields = vec![
        field("label", label),
        field("method", setting.runs[0].method),
        field("task", task.key()),
        field("bits", setting.bits),
        field("setting", setting.id),
        field("point", canonical(&setting.point.clone().into())),
        field("selected", i == cell.selected),
        field("state", layout.value(cell, i, task, layout.primary()).name()),
        field("codes", codes(setting)),
        field("seeded", setting.seeded()),
        field("seeds_planned", setting.runs.len()),
        field("seeds_finished", setting.finished().count()),
        field("validation_mean", number(setting.validation())),
    ];
    fields.extend(setup(setting));
    fields.extend(layout.metrics.iter().flat_map(|m| statistic(m, setting.value(task, m))));
    if layout.options.times {
        fields.extend(
            ["train", "encode", ENCODE_ITEM, SEARCH_QUERY]
                .map(|s| field(&format!("{s}_seconds"), number(setting.seconds(s)))),
        );
        fields.push(field("peak_memory_mib", setting.peak_memory().map_or(String::new(), |mib| mib.to_string())));
    }
    fields.extend(published(citations, label, task, setting.bits));
    let runs: Vec<&str> = setting.runs.iter().map(|r| r.run.0.as_str()).collect();
    fields.push(field("runs", runs.join(" ")));
    fields
}

fn codes(setting: &Setting<'_>) -> &'static str {
    match code_mark(setting) {
        Some(COLLAPSED) => "collapsed",
        Some(CONSTANT_BITS) => "constant bits",
        _ => "",
    }
}

/// Epoch selection, and each modality's encoder with the whole digest of its weights.
fn setup(setting: &Setting<'_>) -> Vec<Field> {
    let setup = &setting.runs[0].setup;
    let mut fields = vec![field("epoch_selection", setup.selection)];
    for modality in Modality::ALL {
        let encoder = setup.encoders.get(modality);
        let digest = match encoder.map(|e| &e.weights) {
            Some(EncoderWeights::Digest(digest)) => digest.as_str(),
            Some(EncoderWeights::Random) => "random",
            Some(EncoderWeights::None) | None => "",
        };
        fields.push(field(&format!("{modality}_encoder"), encoder.map_or(String::new(), |e| joined(e.phrases()))));
        fields.push(field(&format!("{modality}_weights"), digest));
    }
    fields
}

fn statistic(metric: &str, value: Value) -> [Field; 3] {
    let found = match value {
        Value::Measured(statistic) => Some(statistic),
        _ => None,
    };
    [
        field(&format!("{metric}_mean"), number(found.map(|s| s.mean))),
        field(&format!("{metric}_std"), number(found.and_then(|s| s.std))),
        field(&format!("{metric}_n"), found.map_or(0, |s| s.n)),
    ]
}

/// Several sources share the fields, separated by semicolons.
fn published(citations: &Citations<'_>, label: &str, task: Task, bits: usize) -> [Field; 2] {
    let cited: Vec<(f64, &str)> = citations.of_cell(label, task, bits).collect();
    let values: Vec<String> = cited.iter().map(|(value, _)| value.to_string()).collect();
    let sources: Vec<&str> = cited.iter().map(|(_, note)| *note).collect();
    [field("published", values.join("; ")), field("published_source", sources.join("; "))]
}

fn field(name: &str, value: impl ToString) -> Field {
    (name.to_owned(), value.to_string())
}

/// The shortest decimal that reads back as the same number.
fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |v| v.to_string())
}
