//! Bundles: a sweep in one archive, which others open, check and execute again.
//!
//! ```text
//! NAME-PLAN/README.md                 what it holds, what made it, how to check and repeat it
//! NAME-PLAN/NAME.toml, base-1.toml …  the experiment, and the files that it extends
//! NAME-PLAN/runs/                     plan, table, page, and the runs without logs and models, as a directory of runs
//! NAME-PLAN/SHA256SUMS                digests of all other files, for `sha256sum --check`
//! ```
//!
//! Equal runs give equal bytes: files are in order, and the archive states neither times nor owners.

mod archive;
mod check;
mod experiment;
mod readme;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use hashlab_report::{Details, Format, Options, Outcome, page, render, results_jsonl, runs_of_page};
use hashlab_store::RunDir;
use hashlab_sweep::PlannedRun;

use crate::{PlannedSweep, Workspace};
pub use check::{Checked, check};

/// Files of a run that a bundle holds; the others are checkpoints, models, logs and locks.
const OF_RUN: [&str; 9] = [
    "config.json",
    "result.json",
    "attempts.jsonl",
    "metrics.jsonl",
    "queries.json",
    "codes.json",
    "items.json",
    "remarks.json",
    "error.json",
];

/// Directory of runs in a bundle.
const RUNS: &str = "runs";

/// Name of the file of digests.
const SUMS: &str = "SHA256SUMS";

/// The content of a file of a bundle.
enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// What a bundle holds.
pub struct Bundled {
    /// Runs with a result.
    pub finished: usize,
    /// All runs of the plan.
    pub runs: usize,
    /// Files.
    pub files: usize,
}

impl Workspace {
    /// Writes the newest plan of a sweep, with what its runs left, as an archive.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if there is no such sweep; if a file cannot be read, or `out` cannot be written.
    pub fn bundle(&self, name: &str, out: impl Write) -> Result<Bundled> {
        let (sweep, dir) = self.stored_sweep(name)?;
        let bases: Vec<String> = (1..).map_while(|at| dir.read(&format!("base-{at}.toml"))).collect();
        let sweep = PlannedSweep { bases, ..sweep };
        let digest = sweep.plan.digest();
        let mut report = self.report(&sweep.plan, &dir)?;
        let finished =
            report.runs.iter().filter(|run| matches!(run.outcome, Outcome::Finished(_) | Outcome::Diverged(_)));
        let (finished, runs) = (finished.count(), report.runs.len());
        let mut files: BTreeMap<String, Content> = BTreeMap::new();
        let mut add = |path: String, text: String| drop(files.insert(path, Content::Bytes(text.into_bytes())));

        let rows = experiment::files(&sweep)?;
        add("README.md".to_owned(), readme::text(&sweep, &report)?);
        rows.into_iter().for_each(|(path, text)| add(path, text));
        let of_plan = |file: &str| format!("{RUNS}/sweeps/{}/{digest}/{file}", sweep.plan.name);
        add(format!("{RUNS}/sweeps/{}/newest", sweep.plan.name), digest.clone());
        add(of_plan("plan.jsonl"), sweep.plan.to_jsonl());
        add(of_plan("sweep.toml"), sweep.text.clone());
        for (at, base) in (1..).zip(&sweep.bases) {
            add(of_plan(&format!("base-{at}.toml")), base.clone());
        }
        add(of_plan("command"), experiment::command(&sweep));
        let published = self.published()?;
        let options = Options::new(Format::Markdown);
        add(of_plan("table.md"), render(&report, &published, &Details::new(), &options)?);
        let listed = runs_of_page(&report);
        let details = self.details(&mut report, &listed)?;
        if report.runs.len() == listed.len() {
            add(of_plan("results.jsonl"), results_jsonl(&report));
        }
        add(of_plan("report.html"), page(&report, &published, &details)?);
        let planned = sweep.plan.runs.iter().chain(sweep.plan.external.iter().map(|row| &row.run));
        for run in planned {
            files.extend(self.of_run(run)?);
        }
        let count = files.len() + 1;
        archive::write(&format!("{}-{digest}", sweep.plan.name), files, out)?;
        Ok(Bundled { finished, runs, files: count })
    }

    /// The files of a run that are there.
    fn of_run(&self, run: &PlannedRun) -> Result<Vec<(String, Content)>> {
        let store = self.dirs.store();
        let dir: RunDir = store.run(&run.id)?;
        let inside = dir.path().strip_prefix(store.root()).context("a run lies in the directory of runs")?;
        let file = |name: &str| {
            let path = dir.path().join(name);
            path.is_file().then(|| (slashed(&Path::new(RUNS).join(inside).join(name)), Content::File(path)))
        };
        Ok(OF_RUN.iter().filter_map(|name| file(name)).collect())
    }
}

fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
