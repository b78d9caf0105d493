//! The job graph: jobs, and the jobs that each needs.

use super::Job;

/// A job's number in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(usize);

impl JobId {
    /// Returns the number: jobs are counted from 0, in the order of their addition.
    pub fn index(self) -> usize {
        self.0
    }
}

/// Jobs and their dependencies. A job can only need jobs that were added before it, so there are no cycles.
///
/// Jobs that are ready start in the order of their addition.
#[derive(Clone, Debug, Default)]
pub struct JobGraph {
    jobs: Vec<Job>,
    needs: Vec<Vec<JobId>>,
}

impl JobGraph {
    /// Creates an empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a job that starts once all of `needs` are done.
    ///
    /// # Panics
    /// If a needed job belongs to another graph.
    pub fn add(&mut self, job: Job, needs: &[JobId]) -> JobId {
        let id = JobId(self.jobs.len());
        assert!(needs.iter().all(|need| need.0 < id.0), "a job needs jobs that were added before it");
        let mut needs = needs.to_vec();
        needs.sort_unstable();
        needs.dedup();
        self.jobs.push(job);
        self.needs.push(needs);
        id
    }

    /// Returns the jobs, in the order of their addition.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Returns a job.
    ///
    /// # Panics
    /// If it belongs to another, larger graph.
    pub fn job(&self, id: JobId) -> &Job {
        &self.jobs[id.0]
    }

    /// Returns the numbers of all jobs.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = JobId> + use<> {
        (0..self.jobs.len()).map(JobId)
    }

    /// Returns the jobs that a job needs.
    pub fn needs(&self, id: JobId) -> &[JobId] {
        &self.needs[id.0]
    }

    /// The graph without runs.
    ///
    /// # Panics
    /// If a stage needs a run.
    #[must_use]
    pub fn stages(&self) -> Self {
        let mut stages = Self::new();
        let mut numbers = std::collections::BTreeMap::new();
        for id in self.ids().filter(|id| self.job(*id).is_stage()) {
            let needs: Vec<JobId> = self.needs(id).iter().map(|need| numbers[need]).collect();
            numbers.insert(id, stages.add(self.job(id).clone(), &needs));
        }
        stages
    }

    /// Whether the graph holds no jobs.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The jobs that need each job.
    pub(super) fn dependents(&self) -> Vec<Vec<JobId>> {
        let mut dependents = vec![Vec::new(); self.jobs.len()];
        for id in self.ids() {
            self.needs(id).iter().for_each(|need| dependents[need.0].push(id));
        }
        dependents
    }
}
