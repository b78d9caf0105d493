//! Sweeps on a Slurm cluster: what is submitted, what became of it, and what is submitted again.
//!
//! A run's state is that of its directory. The queue only says which runs some task may still bring to an end; a run that
//! is neither finished nor in a task that lives is submitted again. So submitting and following can be killed at any
//! point, and any other process, on any login node, goes on from the files.

mod follow;
mod ledger;
mod look;
mod submit;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use hashlab_exec::slurm::{Slurm, SlurmProfile};
use hashlab_settings::{Schema, parse};
use hashlab_store::{Lock, PlanDir, RunId};
use hashlab_sweep::read_table;

use crate::error::bad_input;
use crate::shell::quoted;
use crate::sweep::{check_data, check_places, templates};
use crate::{Devices, Keep, PlannedSweep, SweepOptions, Workspace};
pub use follow::Followed;
use ledger::Ledger;
pub use look::{Look, RunLook};

/// Name of the file that keeps a second process from submitting the same plan.
const LOCK: &str = "slurm.lock";

/// Name of the file by which `cancel` tells a process that follows a sweep.
const CANCELLED: &str = "slurm.cancelled";

/// The variable that names the file of a profile.
pub const PROFILE: &str = "HASHLAB_SLURM";

/// A profile, and the file that the user named for it.
#[derive(Clone, Debug, Default)]
pub struct NamedProfile {
    /// The resources of tasks.
    pub profile: SlurmProfile,
    /// The file; `None` for the defaults, or those of the user's configuration.
    pub file: Option<PathBuf>,
}

/// A sweep on a cluster.
pub struct Cluster<'a> {
    workspace: &'a Workspace,
    sweep: &'a PlannedSweep,
    options: &'a SweepOptions,
    dir: PlanDir,
    slurm: Slurm,
    ledger: Ledger,
    /// The runs that are meant; `None` for all.
    chosen: Option<BTreeSet<RunId>>,
    /// The right to submit.
    turn: Option<Lock>,
}

impl<'a> Cluster<'a> {
    /// Reads what was submitted before. With a profile, tasks get its resources and those of the options; without, what
    /// they had then.
    ///
    /// # Errors
    /// If the files of the sweep cannot be read.
    pub fn open(
        workspace: &'a Workspace,
        sweep: &'a PlannedSweep,
        options: &'a SweepOptions,
        profile: Option<NamedProfile>,
    ) -> Result<Self> {
        let dir = workspace.dirs.store().sweep(&sweep.plan.name)?.plan(&sweep.plan.digest())?;
        let mut ledger = Ledger::read(&dir)?;
        if let Some(NamedProfile { profile, file }) = profile {
            ledger.flags = [
                ("--device", options.devices.to_string()),
                ("--keep", options.keep.name().to_owned()),
                ("--jobs", profile.slots().to_string()),
            ]
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect();
            let time = options.limits.time.map(|limit| format!("{}s", limit.as_secs_f64()));
            let memory = options.limits.memory.map(|limit| limit.to_string());
            let retries = Some(options.retries.to_string());
            let all = options.memory.map(|bytes| bytes.to_string());
            let most = options.max_failures.map(|most| most.to_string());
            let stack = (options.stack.get() > 1).then(|| options.stack.to_string());
            let limits = [
                ("--stack", stack),
                ("--time-limit", time),
                ("--memory-limit", memory),
                ("--retries", retries),
                ("--memory", all),
                ("--max-failures", most),
            ];
            for (flag, value) in limits {
                ledger.flags.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
            }
            (ledger.profile, ledger.profile_file) = (profile, file);
        }
        Ok(Self { workspace, sweep, options, dir, slurm: Slurm::default(), ledger, chosen: None, turn: None })
    }

    /// Whether anything was submitted before.
    pub fn was_submitted(&self) -> bool {
        !self.ledger.submissions.is_empty()
    }

    /// The command that goes on with the sweep where it was started: on the cluster, with the profile, the device and the
    /// models that were asked for, or on this machine.
    pub fn sweep_command(&self) -> String {
        if !self.was_submitted() {
            return self.sweep.command.clone();
        }
        let flags = self.ledger.flags.chunks_exact(2);
        let chosen = |flag: &&[String]| match flag[0].as_str() {
            "--device" => flag[1] != Devices::default().to_string(),
            "--keep" => flag[1] != Keep::default().name(),
            "--stack" => true,
            _ => false,
        };
        let flags = flags.filter(chosen).map(|flag| format!(" {} {}", flag[0], quoted(&flag[1])));
        // The variable of this process names a profile, too.
        let variable = std::env::var_os(PROFILE).map(PathBuf::from);
        let profile = self.ledger.profile_file.iter().filter(|file| variable.as_ref() != Some(*file));
        let profile = profile.map(|file| format!(" --slurm {}", quoted(&file.display().to_string())));
        format!("{} --executor slurm{}", self.sweep.command, profile.chain(flags).collect::<String>())
    }

    /// Takes the right to submit, until this is dropped.
    ///
    /// # Errors
    /// If another process has it.
    pub fn take_turn(&mut self) -> Result<()> {
        let Some(lock) = self.dir.lock(LOCK)? else {
            let name = &self.sweep.plan.name;
            return Err(bad_input(format!(
                "another process submits and follows this sweep\nhelp: `hashlab status {name}` shows its state"
            )));
        };
        self.turn = Some(lock);
        self.dir.remove(CANCELLED)?;
        // What another process submitted in the meantime.
        let Ledger { submissions, .. } = Ledger::read(&self.dir)?;
        self.ledger.submissions = submissions;
        Ok(())
    }
}

impl PlannedSweep {
    /// Takes the right to submit the sweep to a cluster, and writes the plan down for its tasks, after the checks of a
    /// local sweep.
    ///
    /// # Errors
    /// If the data cannot be opened, or the plan cannot be written.
    pub fn cluster<'a>(
        &'a self,
        workspace: &'a Workspace,
        options: &'a SweepOptions,
        profile: NamedProfile,
    ) -> Result<Cluster<'a>> {
        options.choice.check(workspace, &self.plan)?;
        let pending = self.pending(workspace, &options.choice)?;
        check_data(workspace, &pending)?;
        options.devices.check(templates(&pending).map(|run| run.template()))?;
        check_places(workspace, &pending)?;
        let mut cluster = Cluster::open(workspace, self, options, Some(profile))?;
        // Not only those of the first rung.
        let chosen = self.unfinished(workspace, &options.choice)?;
        cluster.chosen = Some(chosen.iter().map(|pending| pending.run.id.clone()).collect());
        cluster.take_turn()?;
        self.set_aside(workspace, &options.choice)?;
        self.measure_external(workspace)?;
        self.begin(workspace, &pending)?.1?;
        Ok(cluster)
    }
}

/// Reads a profile.
///
/// # Errors
/// [`BadInput`](crate::BadInput) with every mistake at its place.
pub fn profile(text: &str, path: &std::path::Path, color: bool) -> Result<SlurmProfile> {
    let settings = read_table(text, path, &Schema::of::<SlurmProfile>());
    let settings = settings.map_err(|wrong| bad_input(wrong.render(color)))?;
    parse(&settings).map_err(|wrong| bad_input(wrong.to_string()))
}
