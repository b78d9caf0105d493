//! Submission of runs: their features as an earlier array, the runs as arrays, the table as a job behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use hashlab_exec::slurm::{BatchScript, SlurmError, chunks};
use hashlab_exec::{JobGraph, JobId};
use hashlab_kernels::device::DeviceName;
use hashlab_store::RunId;

use super::Cluster;
use super::ledger::{Kind, Ledger, Submission};
use crate::graph::{Goal, PendingRun, Shape, job_graph};
use crate::{Launch, shell};

/// Folder of the tasks' output.
const LOGS: &str = "slurm";

impl Cluster<'_> {
    /// Submits runs. `features` says whether an array before them extracts what they share. Returns the number of runs
    /// that the scheduler took: a limit on a user's jobs may leave some for later.
    ///
    /// # Errors
    /// If the scheduler refuses them or does not answer; what it took before is in the ledger.
    pub fn submit(&mut self, runs: &BTreeSet<RunId>, features: bool) -> Result<usize> {
        let sweep = self.sweep;
        let mut pending = Vec::new();
        for run in sweep.plan.runs.iter().filter(|run| runs.contains(&run.id)) {
            let method = self.workspace.registry.method(&run.template().method)?;
            let dir = self.workspace.dirs.store().run(&run.id)?;
            dir.prepare(&run.config())?;
            // An old failure would hide that the task of the run vanished before it began.
            dir.forget_failure()?;
            pending.push(PendingRun { run, deep: method.deep, goal: Goal::End, repeated: false });
        }
        let limit = self.slurm.max_array_size()?;
        let mut before = Vec::new();
        if features {
            let packs = self.feature_packs(&pending)?;
            for range in chunks(packs.len(), limit) {
                before.extend(self.array(Kind::Features, packs[range].to_vec(), &[])?);
            }
        }
        let ids: Vec<RunId> = pending.iter().map(|pending| pending.run.id.clone()).collect();
        let packs: Vec<Vec<RunId>> = ids.chunks(self.ledger.profile.pack()).map(<[RunId]>::to_vec).collect();
        let (mut taken, mut arrays) = (0, Vec::new());
        for range in chunks(packs.len(), limit) {
            let Some(job) = self.array(Kind::Runs, packs[range.clone()].to_vec(), &before)? else { break };
            taken += packs[range].iter().map(Vec::len).sum::<usize>();
            arrays.push(job);
        }
        if !arrays.is_empty() {
            self.array(Kind::Table, Vec::new(), &arrays)?;
        }
        Ok(taken)
    }

    /// The runs on whose behalf features are extracted: a task per set of encoders, as views need its plain features.
    fn feature_packs(&self, pending: &[PendingRun<'_>]) -> Result<Vec<Vec<RunId>>> {
        let launch = Launch::new(self.workspace, &self.sweep.weights, DeviceName::Cpu, self.options.keep)?;
        let graph: JobGraph = job_graph(self.workspace, &launch, &self.dir, pending, &Shape::SINGLE)?;
        let mut packs: BTreeMap<JobId, Vec<RunId>> = BTreeMap::new();
        for id in graph.ids() {
            let Some(dir) = &graph.job(id).reads else { continue };
            let first = graph.needs(id).first().copied().unwrap_or(id);
            let pack = packs.entry(first).or_default();
            if !pack.contains(dir.id()) {
                pack.push(dir.id().clone());
            }
        }
        Ok(packs.into_values().collect())
    }

    /// Submits one array, or the job of the table; `None` if a limit on jobs keeps it out for now. It is written down
    /// before, so that it is found again if this process dies in between.
    fn array(&mut self, kind: Kind, packs: Vec<Vec<RunId>>, after: &[u64]) -> Result<Option<u64>> {
        let number = self.ledger.submissions.len() + 1;
        let name = format!("hashlab-{}-{number}", self.sweep.plan.digest());
        let logs = std::path::absolute(self.dir.folder(LOGS)?)?;
        let command = self.command(kind, &name)?;
        let script = BatchScript {
            name: &name,
            profile: &self.ledger.profile,
            tasks: (kind != Kind::Table).then_some(packs.len()),
            after,
            logs: &logs,
            command: &command,
        };
        let path = self.dir.write(&format!("slurm-{number}.sh"), script.render().as_bytes())?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.ledger.submissions.push(Submission { name: name.clone(), kind, job: None, time, packs });
        self.ledger.write(&self.dir)?;
        let answer = self.slurm.submit(&path, &name);
        if let Err(SlurmError::Full(_) | SlurmError::Refused(_)) = answer {
            self.ledger.submissions.pop();
            self.ledger.write(&self.dir)?;
        }
        match answer {
            Ok(job) => {
                self.ledger.submissions.last_mut().expect("it was just written").job = Some(job);
                self.ledger.write(&self.dir)?;
                Ok(Some(job))
            }
            Err(SlurmError::Full(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The command of a task, in absolute paths: a task starts elsewhere.
    fn command(&self, kind: Kind, name: &str) -> Result<String> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let (dirs, plan) = (&self.workspace.dirs, &self.sweep.plan);
        let mut words = vec![program.display().to_string()];
        let mut option = |name: &str, value: Option<&std::path::Path>| -> Result<()> {
            if let Some(value) = value {
                words.extend([name.to_owned(), std::path::absolute(value)?.display().to_string()]);
            }
            Ok(())
        };
        option("--runs", Some(&dirs.runs))?;
        option("--data-dir", dirs.data_dir.as_deref())?;
        option("--cache-dir", dirs.cache_dir.as_deref())?;
        if let Some(limit) = dirs.cache_limit {
            words.extend(["--cache-limit".to_owned(), limit.to_string()]);
        }
        words.extend(["exec".to_owned(), format!("{}/{}", plan.name, plan.digest())]);
        words.extend(self.ledger.flags.clone());
        let words: Vec<String> = words.iter().map(|word| shell::quoted(word)).collect();
        let words = words.join(" ");
        Ok(match kind {
            Kind::Features => format!("{words} --features --pack {name}:$SLURM_ARRAY_TASK_ID"),
            Kind::Runs => format!("{words} --pack {name}:$SLURM_ARRAY_TASK_ID"),
            Kind::Table => format!("{words} --table"),
        })
    }

    /// The runs of a task: those of its pack that are not cancelled.
    ///
    /// # Errors
    /// If there is no such task.
    pub fn pack(&self, name: &str, index: usize) -> Result<BTreeSet<RunId>> {
        let pack = self.ledger.named(name).and_then(|submission| submission.packs.get(index));
        let pack = pack.with_context(|| format!("`--pack {name}:{index}` is no task of this sweep"))?;
        let store = self.workspace.dirs.store();
        let mut runs = BTreeSet::new();
        for id in pack {
            if !store.run(id)?.is_cancelled() {
                runs.insert(id.clone());
            }
        }
        Ok(runs)
    }

    /// The script of the arrays of runs as it would be submitted.
    ///
    /// # Errors
    /// If this program's own file is unknown.
    pub fn script(&self) -> Result<String> {
        let name = format!("hashlab-{}-1", self.sweep.plan.digest());
        let packs = self.sweep.plan.runs.len().div_ceil(self.ledger.profile.pack());
        let (logs, command) = (std::path::absolute(self.dir.path())?.join(LOGS), self.command(Kind::Runs, &name)?);
        let profile = &self.ledger.profile;
        Ok(BatchScript { name: &name, profile, tasks: Some(packs), after: &[], logs: &logs, command: &command }
            .render())
    }
}

impl Ledger {
    /// The jobs of all submissions.
    pub(crate) fn jobs(&self) -> Vec<u64> {
        self.submissions.iter().filter_map(|submission| submission.job).filter(|job| *job > 0).collect()
    }
}
