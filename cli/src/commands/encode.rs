//! `hashlab encode`: the codes of a sweep's models as .npy files.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::EncodedRun;
use hashlab_cache::npy;
use hashlab_eval::Codes;
use hashlab_store::counted;
use hashlab_sweep::{PlannedRun, did_you_mean};

use super::array_files::{Exported, check_writable, export_labels, export_split};
use super::extract::Shown;
use crate::args::EncodeArgs;
use crate::context::{Context, print};
use crate::exit::bad_input;

pub(crate) fn run(context: &Context, args: &EncodeArgs) -> Result<ExitCode> {
    let planned = context.plan(&args.experiment)?;
    let device = args.device.name.open()?;
    let runs = match args.run.as_slice() {
        [] => planned.runs_with_models(&context.workspace)?,
        named => named.iter().map(|name| find(&planned.plan.runs, name)).collect::<Result<_>>()?,
    };
    if runs.is_empty() {
        let help = "`sweep FILE` trains the models, and keeps those of the settings that its table shows";
        return Err(bad_input(format!("no run of the experiment has a model\nhelp: {help}")));
    }
    for run in &runs {
        let out = args.out.join(run.id.to_string());
        check_writable(&out)?;
        let shown = Shown::new();
        let files = shown.during(|progress| {
            planned.encode(&context.workspace, run, &device, progress, |encoded| export(&out, encoded))
        })?;
        let files: Vec<String> = files.iter().map(|file| format!("  {}  {}", file.name, file.content)).collect();
        print(&format!("{}: codes of {}, {} bits\n{}\n", out.display(), run.label, run.bits, files.join("\n")))?;
    }
    print(&format!(
        "{}; rows of queries and database have the order of query.npy and database.npy\n",
        counted(runs.len(), "run")
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn find<'r>(runs: &'r [PlannedRun], name: &str) -> Result<&'r PlannedRun> {
    runs.iter().find(|run| run.id.0 == name).ok_or_else(|| {
        let help = did_you_mean(name, runs.iter().map(|run| run.id.0.as_str()));
        bad_input(format!("the experiment has no run `{name}`\nhelp: {help}"))
    })
}

/// Writes codes and labels of queries and database, and the split.
fn export(out: &Path, encoded: &EncodedRun<'_>) -> Result<Vec<Exported>> {
    let mut files = Vec::new();
    let several = encoded.codes.len() > 1;
    for (role, items) in [("query", &encoded.split.query), ("database", &encoded.split.database)] {
        for (modality, codes) in encoded.codes.iter() {
            let of = if several { format!("{modality}_") } else { String::new() };
            files.push(export_codes(out, &format!("{role}_{of}codes.npy"), codes, items)?);
        }
        let (name, labels) = (format!("{role}_labels.npy"), encoded.dataset.labels());
        files.push(export_labels(out, &name, labels, items.iter().map(|&item| item as usize))?);
    }
    files.extend(export_split(out, encoded.split)?);
    Ok(files)
}

fn export_codes(out: &Path, name: &str, codes: &Codes, items: &[u32]) -> Result<Exported> {
    let shape = [items.len(), codes.packed_len()];
    npy::write(&out.join(name), &shape, &codes.to_packed(items))?;
    Ok(Exported::new(name, format!("({}, {}) u8, packed, lowest bit first", shape[0], shape[1])))
}
