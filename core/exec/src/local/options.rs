//! Division of the machine among the jobs of the local executor.

use std::num::NonZeroUsize;
use std::thread;

use super::Limits;
use crate::{Cores, Job};

/// Default number of processes that share a GPU: each holds a context of some hundred MiB there.
const GPU_JOBS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Division of the machine among the jobs of the local executor.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Cores of the machine.
    pub cores: NonZeroUsize,
    /// Number of concurrent runs, if the user chose it; otherwise one per core, at most four on a GPU, and runs that
    /// take all cores one by one.
    pub jobs: Option<NonZeroUsize>,
    /// Largest number of threads of a process, if the user chose it.
    pub threads: Option<NonZeroUsize>,
    /// Whether runs compute on a GPU, which they share with the cores.
    pub gpu: bool,
    /// GPUs among which jobs are divided, each as `CUDA_VISIBLE_DEVICES` names it; a job sees as many as it uses. Without
    /// any, jobs see what this process sees.
    pub gpus: Vec<String>,
    /// Memory in bytes that jobs may take together, as far as it is known what they take; `None` without a limit.
    pub memory: Option<u64>,
    /// Limits of each process that executes runs.
    pub limits: Limits,
    /// Advice for a process that ran out of memory, e.g. the option that reduces the number of concurrent runs.
    pub memory_advice: String,
}

/// Resources of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) slots: NonZeroUsize,
    /// Threads of its process.
    pub(super) threads: NonZeroUsize,
}

impl Default for LocalOptions {
    /// The cores of this machine, and the threads of `RAYON_NUM_THREADS`, if that is set.
    fn default() -> Self {
        let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|threads| threads.trim().parse().ok());
        Self {
            cores: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            jobs: None,
            threads,
            gpu: false,
            gpus: Vec::new(),
            memory: None,
            limits: Limits::default(),
            memory_advice: "fewer runs at once need less memory".to_owned(),
        }
    }
}

impl LocalOptions {
    pub(super) fn capacity(&self) -> NonZeroUsize {
        let gpu_jobs = GPU_JOBS.saturating_mul(NonZeroUsize::new(self.gpus.len()).unwrap_or(NonZeroUsize::MIN));
        self.jobs.unwrap_or(if self.gpu { self.cores.min(gpu_jobs) } else { self.cores })
    }

    /// All slots of as many GPUs as the job uses, if it uses several: as many GPUs then have a slot for it, whichever
    /// slots are taken.
    fn slots_of_gpus(&self, job: &Job) -> Option<NonZeroUsize> {
        let used = job.gpus.min(self.gpus.len());
        (used > 1).then(|| NonZeroUsize::new(self.capacity().get() * used / self.gpus.len())).flatten()
    }

    /// Separate runs use cores better than the threads of one run, so a small run has one thread. A run on all cores
    /// divides them only with as many others as the user asks for. A stage runs alone.
    pub(super) fn share(&self, job: &Job) -> Share {
        let capacity = self.capacity();
        let divided = NonZeroUsize::new(self.cores.get() / capacity).unwrap_or(NonZeroUsize::MIN);
        let (slots, threads) = match job.cores {
            Cores::One if self.gpu => (NonZeroUsize::MIN, divided),
            Cores::One => (NonZeroUsize::MIN, NonZeroUsize::MIN),
            Cores::All if job.is_stage() && self.gpu => (capacity, self.cores),
            Cores::All if job.is_stage() => (capacity, self.cores.min(capacity)),
            Cores::All if self.jobs.is_some() => (NonZeroUsize::MIN, divided),
            Cores::All => (capacity, self.cores),
        };
        let (slots, threads) = match self.slots_of_gpus(job) {
            Some(several) if several > slots => {
                let threads = NonZeroUsize::new(self.cores.get() * several.get() / capacity).unwrap_or(threads);
                (several, threads.max(NonZeroUsize::MIN))
            }
            _ => (slots, threads),
        };
        Share { slots, threads: self.threads.map_or(threads, |most| most.min(threads)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommandLine, Program};
    use hashlab_store::RunId;
    use hashlab_store::Store;

    fn stage() -> Job {
        Job::stage(
            "features",
            "features",
            "x.log",
            CommandLine { program: Program::path("x"), args: vec![], env: vec![] },
        )
    }

    fn run() -> Job {
        let dir = Store::open("runs").run(&RunId("lsh-b16-s0-1f0c2a9b7d3e".into())).unwrap();
        Job::run(dir, "lsh", "mAP", stage().command)
    }

    /// Slots and threads of a stage, a run of one core, and a run of all.
    fn shares(cores: usize, jobs: usize, threads: usize, gpu: bool) -> [(usize, usize); 3] {
        let count = NonZeroUsize::new;
        let options = LocalOptions {
            cores: count(cores).unwrap(),
            jobs: count(jobs),
            threads: count(threads),
            gpu,
            ..LocalOptions::default()
        };
        [stage(), run(), run().on_all_cores()].map(|job| {
            let share = options.share(&job);
            (share.slots.get(), share.threads.get())
        })
    }

    #[test]
    fn jobs_share_the_cores() {
        assert_eq!(shares(8, 0, 0, false), [(8, 8), (1, 1), (8, 8)]);
        assert_eq!(shares(8, 2, 0, false), [(2, 2), (1, 1), (1, 4)], "two runs at once, of four threads each");
        assert_eq!(shares(2, 4, 0, false), [(4, 2), (1, 1), (1, 1)]);
        assert_eq!(shares(16, 0, 0, true), [(4, 16), (1, 4), (4, 16)]);
    }

    #[test]
    fn a_run_on_several_gpus_takes_their_slots_and_cores() {
        let share = |gpus: usize, per_gpu: usize, used: usize| {
            let options = LocalOptions {
                cores: NonZeroUsize::new(8).unwrap(),
                jobs: NonZeroUsize::new(gpus * per_gpu),
                gpu: true,
                gpus: (0..gpus).map(|gpu| gpu.to_string()).collect(),
                ..LocalOptions::default()
            };
            let share = options.share(&run().on_all_cores().with_gpus(used));
            (share.slots.get(), share.threads.get())
        };
        assert_eq!(share(2, 1, 2), (2, 8));
        assert_eq!(share(4, 2, 2), (4, 4));
        assert_eq!(share(4, 2, 1), (1, 1));
        assert_eq!(share(0, 1, 2), (4, 8), "GPUs that are not divided are all seen: it runs alone");
    }

    #[test]
    fn no_process_uses_more_threads_than_the_user_allows() {
        assert_eq!(shares(8, 0, 3, false), [(8, 3), (1, 1), (8, 3)]);
        assert_eq!(shares(2, 1, 1, false), [(1, 1), (1, 1), (1, 1)]);
        assert_eq!(shares(2, 1, 0, false)[0], (1, 1), "a stage heeds the number of jobs");
        assert_eq!(shares(16, 0, 2, true), [(4, 2), (1, 2), (4, 2)]);
    }
}
