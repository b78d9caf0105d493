//! Sweeps on a Slurm cluster: submission, following, and what other commands on them share.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hashlab_app::slurm::{self, Followed, NamedProfile};
use hashlab_app::{Choice, Devices, Keep, PlannedSweep, SweepOptions, bad_input};
use hashlab_exec::{Completion, StopRequests};
use hashlab_store::counted;
use hashlab_sweep::read_file;

use super::sweep::{INTERRUPTED, SOME_FAILED, finish};
use crate::args::{ProfileArgs, SweepArgs};
use crate::context::{Context, color_on_stderr, named_by, say, warn};

/// Reads the profile that is named, or the user's; the defaults if there is none.
pub(super) fn profile(args: &ProfileArgs) -> Result<NamedProfile> {
    let path = match &args.slurm {
        Some(path) => path.clone(),
        None => match default_path().filter(|path| path.is_file()) {
            Some(path) => path,
            None => return Ok(NamedProfile::default()),
        },
    };
    let named =
        || if args.slurm.is_some() { named_by("--slurm", "HASHLAB_SLURM", &path) } else { path.display().to_string() };
    let text = read_file(&path).map_err(|error| bad_input(format!("`{}`: {error}", named())))?;
    let profile = slurm::profile(&text, &path, color_on_stderr())?;
    Ok(NamedProfile { profile, file: args.slurm.clone() })
}

fn default_path() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let config = config.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".config")))?;
    Some(config.join("hashlab/slurm.toml"))
}

/// Options of commands that execute nothing themselves.
pub(super) fn options(keep: Keep) -> SweepOptions {
    SweepOptions {
        devices: Devices::default(),
        jobs: None,
        stack: std::num::NonZero::<usize>::MIN,
        keep,
        choice: Choice::default(),
        max_failures: None,
        features_only: false,
        limits: Default::default(),
        retries: 0,
        memory: None,
        memory_advice: String::new(),
    }
}

/// Submits a sweep, and follows it to its end.
pub(super) fn sweep(
    context: &Context,
    planned: &PlannedSweep,
    options: &SweepOptions,
    args: &SweepArgs,
) -> Result<ExitCode> {
    let mut profile = profile(&args.cluster.profile)?;
    profile.profile.jobs = options.jobs.or(profile.profile.jobs);
    let mut cluster = planned.cluster(&context.workspace, options, profile)?;
    // A signal from here on leaves jobs that run on.
    let stop = StopRequests::install().context("cannot listen to signals")?;
    let name = &planned.plan.name;
    let runs = cluster.open_runs(true)?;
    if !runs.is_empty() {
        let taken = cluster.submit(&runs, true)?;
        tell(&format!("{} submitted", counted(taken, "run")));
        if taken < runs.len() {
            tell(&format!("Slurm takes no more jobs for now: {} left", counted(runs.len() - taken, "run")));
        }
    }
    if args.cluster.detach {
        tell(&format!("`hashlab status {name}` shows their state, `hashlab cancel {name}` cancels them"));
        return Ok(ExitCode::SUCCESS);
    }
    let followed = cluster.follow(&stop, &mut tell)?;
    if followed != Followed::Left {
        cluster.put_back()?.iter().for_each(|said| warn(said));
    }
    match followed {
        Followed::Left => {
            tell(&format!("jobs run on: `hashlab cancel {name}` cancels them, the same command follows them again"));
            Ok(ExitCode::from(INTERRUPTED))
        }
        Followed::Cancelled => {
            tell("the sweep was cancelled; the same command submits what is left");
            Ok(ExitCode::from(SOME_FAILED))
        }
        Followed::Ended(completion) => {
            let executed = planned.collect(&context.workspace, options, completion)?;
            let code = finish(context, executed, args)?;
            if planned.further > 0 && completion == Completion::Complete {
                tell(&format!("{} left: the same command submits the next ones", counted(planned.further, "trial")));
            }
            Ok(if completion == Completion::Incomplete { ExitCode::from(SOME_FAILED) } else { code })
        }
    }
}

/// Prints a line of progress.
fn tell(line: &str) {
    let _ = say(&format!("{line}\n"));
}
