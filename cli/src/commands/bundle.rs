//! `hashlab bundle`: a sweep as one archive, and the check of one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hashlab_app::bundle::check;
use hashlab_store::counted;

use crate::args::BundleArgs;
use crate::context::{Context, print, warn};
use crate::out;

pub(crate) fn run(context: &Context, args: &BundleArgs) -> Result<ExitCode> {
    match (&args.check, &args.sweep) {
        (Some(file), _) => checked(file)?,
        (None, sweep) => written(context, sweep.as_deref().unwrap_or_default(), args.out.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn written(context: &Context, sweep: &str, path: Option<&Path>) -> Result<()> {
    let name = sweep.split('/').next().unwrap_or_default();
    let path = path.map_or_else(|| PathBuf::from(format!("{name}.tar.gz")), Path::to_owned);
    out::check(&path)?;
    let mut bytes = Vec::new();
    let bundled = context.workspace.bundle(sweep, &mut bytes)?;
    if bundled.finished < bundled.runs {
        let lacking = bundled.runs - bundled.finished;
        warn(&format!("{lacking} of {} have no result", counted(bundled.runs, "run")));
    }
    out::write(&path, &bytes)?;
    let (runs, files) = (counted(bundled.finished, "run"), counted(bundled.files, "file"));
    print(&format!("{}: {runs}, {files}, {:.1} MiB\n", path.display(), bytes.len() as f64 / (1 << 20) as f64))
}

fn checked(file: &Path) -> Result<()> {
    let place = tempfile::tempdir().context("a bundle is unpacked to be checked")?;
    let found = check(file, place.path())?;
    let (runs, files) = (counted(found.runs, "run"), counted(found.files, "file"));
    print(&format!(
        "{}: sound; sweep {}, plan {}, {} of {runs} with a result, {files}\n",
        file.display(),
        found.sweep,
        found.plan,
        found.finished
    ))
}
