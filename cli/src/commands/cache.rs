//! `hashlab cache`: the content of the feature cache.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_cache::FeatureCache;
use hashlab_store::counted;

use crate::args::CacheArgs;
use crate::context::{Context, print};
use crate::exit::bad_input;

pub(crate) fn run(context: &Context, args: &CacheArgs) -> Result<ExitCode> {
    let path = context.dirs().cache_path();
    match path.metadata() {
        Ok(found) if found.is_dir() => {}
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let help = "name a directory that you can read with `--cache-dir DIR` or `--runs DIR`";
            return Err(bad_input(format!("cannot look at {}: {error}\nhelp: {help}", path.display())));
        }
        _ => {
            print(&format!("{}: no features yet\n", path.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let cache = context.dirs().cache()?;
    match args.prune {
        None => print(&listing(&cache)?)?,
        Some(keep) => {
            let pruned = cache.prune(keep)?;
            let (files, freed, left) = (pruned.feature_files, mib(pruned.bytes), mib(pruned.left));
            print(&format!("removed {}, {freed:.1} MiB; {left:.1} MiB are left\n", counted(files, "feature file")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn listing(cache: &FeatureCache) -> Result<String> {
    let files = cache.list()?;
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let mut text =
        format!("{}: {}, {:.1} MiB\n", cache.root().display(), counted(files.len(), "feature file"), mib(total));
    for file in &files {
        let state = if file.complete { "" } else { " (incomplete)" };
        let what = match &file.key {
            Some(key) => {
                format!("{}, {}, view {}, {}, of {}", key.encoder, key.transform, key.view, key.dtype, key.dataset)
            }
            None => format!("unknown: {}", file.path.display()),
        };
        let _ = writeln!(text, "  {:8.1} MiB  {what}{state}", mib(file.bytes));
    }
    Ok(text)
}

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
