//! `hashlab reproduce`: executes runs again, and says what differs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use hashlab_app::{Choice, Comparison, Devices, Difference, Keep, Part, Reproduction, SweepOptions, Target};
use hashlab_exec::Completion;
use hashlab_exec::progress::on_stderr;
use hashlab_kernels::device::DeviceName;
use hashlab_store::{RunDir, counted};
use serde_json::json;

use super::runs::find;
use super::sweep::{INTERRUPTED, SOME_FAILED};
use crate::args::{ReproduceArgs, TextOrJson};
use crate::context::{Context, note, print, warn};
use crate::exit::bad_input;

/// Some values differ.
const DIFFERENT: u8 = 1;

/// Values of a part that are printed.
const LISTED: usize = 5;

pub(crate) fn run(context: &Context, args: &ReproduceArgs) -> Result<ExitCode> {
    let target = target(context, args)?;
    let default = || context.dirs().runs.join("reproduced").join(target.name().replace('/', "-"));
    let into = args.out.clone().unwrap_or_else(default);
    let prepared = context.workspace.reproduction(&target, &args.only, into, args.cached)?;
    prepared.left_out.iter().for_each(|words| note(words));
    let options = options(args, &prepared)?;
    let executed = prepared.sweep.execute(&prepared.workspace, &options, on_stderr().as_mut())?;
    executed.warnings.iter().for_each(|warning| warn(warning));
    match executed.completion {
        Completion::Stopped => return Ok(ExitCode::from(INTERRUPTED)),
        Completion::Incomplete => {
            let failed = prepared.unfinished()?;
            warn(&format!("{} did not end, e.g. {}", counted(failed.len(), "run"), failed[0]));
            return Ok(ExitCode::from(SOME_FAILED));
        }
        Completion::Complete => {}
    }
    let found = prepared.compare()?;
    print(&match args.format {
        TextOrJson::Text => text(&prepared, &found),
        TextOrJson::Json => json(&prepared, &found),
    })?;
    Ok(if found.iter().all(Comparison::is_equal) { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// The sweep of that name, or the run that it means.
fn target(context: &Context, args: &ReproduceArgs) -> Result<Target> {
    let store = context.dirs().store();
    let name = args.target.split('/').next().unwrap_or_default();
    if store.sweep(name).is_ok_and(|sweep| sweep.newest().ok().flatten().is_some()) {
        return Ok(Target::Sweep(args.target.clone()));
    }
    if let Some(selector) = args.only.first() {
        let (text, name) = (selector.text(), &args.target);
        return Err(bad_input(format!("`--only {text}` selects runs of a sweep, and there is no sweep `{name}`")));
    }
    Ok(Target::Run(find(&store, name)?))
}

fn options(args: &ReproduceArgs, prepared: &Reproduction) -> Result<SweepOptions> {
    let device = args.device.unwrap_or_else(|| recorded_device(&prepared.originals[0]));
    Ok(SweepOptions {
        devices: device.to_string().parse::<Devices>().map_err(bad_input)?,
        jobs: args.jobs,
        stack: std::num::NonZero::<usize>::MIN,
        keep: Keep::All,
        choice: Choice::default(),
        max_failures: None,
        features_only: false,
        limits: Default::default(),
        retries: 0,
        memory: None,
        memory_advice: "fewer runs at once need less memory: `--jobs N`".to_owned(),
    })
}

/// The device on which a run was computed; the processor where that is not known.
fn recorded_device(run: &RunDir) -> DeviceName {
    let result = run.result();
    let recorded = result.as_ref().and_then(|result| result.provenance.get("device"));
    recorded.and_then(|name| name.split(' ').next()?.parse().ok()).unwrap_or_default()
}

fn text(prepared: &Reproduction, found: &[Comparison]) -> String {
    let mut text = String::new();
    for one in found {
        let _ = writeln!(text, "{}: {}", one.run, if one.is_equal() { "equal" } else { "DIFFERENT" });
        if found.len() == 1 || !one.is_equal() {
            one.parts.iter().for_each(|part| text += &of_part(part));
        }
    }
    text += &provenance(found);
    let different = found.iter().filter(|one| !one.is_equal()).count();
    let runs = counted(found.len(), "run");
    let place = prepared.workspace.dirs.runs.display();
    let _ = match different {
        0 => writeln!(text, "{runs} reproduced bit for bit in {place}"),
        _ => writeln!(text, "{different} of {runs} differ; the repetition is in {place}"),
    };
    text
}

fn of_part(part: &Part) -> String {
    let values = counted(part.values, "value");
    if part.differences.is_empty() {
        return format!("  {:9} {values} equal\n", part.name);
    }
    let mut text = format!("  {:9} {} of {values} differ\n", part.name, part.differences.len());
    part.differences.iter().take(LISTED).for_each(|difference| text += &line(difference));
    let more = part.differences.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(text, "    and {more} more");
    }
    text
}

fn line(difference: &Difference) -> String {
    let of = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    format!("    {}: {} then, {} now\n", difference.key, of(&difference.then), of(&difference.now))
}

/// What differs between the executions of all runs, each once.
fn provenance(found: &[Comparison]) -> String {
    let lines: BTreeSet<String> = found.iter().flat_map(|one| &one.provenance).map(line).collect();
    if lines.is_empty() {
        String::new()
    } else {
        format!("  executed differently\n{}", lines.into_iter().collect::<String>())
    }
}

fn json(prepared: &Reproduction, found: &[Comparison]) -> String {
    let runs = found.iter().map(
        |one| json!({ "run": one.run, "equal": one.is_equal(), "parts": one.parts, "provenance": one.provenance }),
    );
    let report = json!({
        "equal": found.iter().all(Comparison::is_equal),
        "directory": prepared.workspace.dirs.runs,
        "runs": runs.collect::<Vec<_>>(),
    });
    format!("{report:#}\n")
}
