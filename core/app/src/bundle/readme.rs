//! The text that explains a bundle to its reader.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;
use hashlab_report::{Outcome, SweepReport};
use hashlab_sweep::PlannedRun;

use super::{SUMS, experiment};
use crate::PlannedSweep;

/// Facts that differ between repetitions, and that only say where a run was executed.
const LEFT_OUT: [&str; 5] = ["argv", "host", "peak_rss_mib", "threads", "system"];

pub(super) fn text(sweep: &PlannedSweep, report: &SweepReport) -> Result<String> {
    let (plan, digest) = (&sweep.plan, sweep.plan.digest());
    let name = &plan.name;
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    report.runs.iter().for_each(|run| *states.entry(run.outcome.name()).or_default() += 1);
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let page = format!("runs/sweeps/{name}/{digest}/report.html");
    let mut text = format!(
        "# The sweep {name}\n\nPlan {digest}: {} runs on {}, protocol {} ({}).\n\n\
         - `{name}.toml`: the experiment file.\n\
         - `{page}`: its page, for any browser; `table.md` and `results.jsonl` beside it.\n\
         - `runs/`: plan and runs as hashlab keeps them, without logs and models.\n\
         - `{SUMS}`: digests of all files.\n\n\
         ```sh\n\
         sha256sum --check --quiet {SUMS}   # nothing changed\n\
         hashlab table {name}               # the table; `show`, `diff`, `compare`, `report` work as well\n\
         hashlab fetch {name}.toml          # data set and weights, where they are public\n\
         hashlab plan {name}.toml           # finds them, or says what is missing\n\
         hashlab reproduce {name}           # executes all runs again, and compares them bit for bit\n\
         ```\n\n\
         The command of the sweep: `{}`.\n",
        report.runs.len(),
        plan.dataset_title,
        plan.protocol,
        states.join(", "),
        experiment::command(sweep),
    );
    let configs = plan.runs.chunk_by(PlannedRun::shares_template).map(|group| group[0].template());
    let data: BTreeSet<String> =
        configs.map(|config| format!("data set `{}`: {}", config.dataset, config.dataset_identity)).collect();
    let _ = writeln!(text, "\n## What made it\n");
    for line in data {
        let _ = writeln!(text, "- {line}");
    }
    for (key, values) in provenance(report) {
        let _ = writeln!(text, "- {key}: {}", values.into_iter().collect::<Vec<_>>().join("; "));
    }
    for row in &plan.external {
        for file in &row.files {
            let _ = writeln!(
                text,
                "- codes of `{}`, not in the bundle: {} ({})",
                row.run.label, file.path, file.facts.digest
            );
        }
    }
    Ok(text)
}

/// The values of each fact over all results.
fn provenance(report: &SweepReport) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut facts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for run in &report.runs {
        if let Outcome::Finished(result) | Outcome::Diverged(result) = &run.outcome {
            for (key, value) in result.provenance.iter().filter(|(key, _)| !LEFT_OUT.contains(&key.as_str())) {
                facts.entry(key.as_str()).or_default().insert(value.as_str());
            }
        }
    }
    facts
}
