//! The executor, with real processes that finish, fail, crash, hang and are killed.
//!
//! The processes are this very test binary: [`role`] makes it a run, a shared stage or a sweep.

mod behaviors;
mod busy;
mod crash;
mod fixture;
mod outcomes;
mod progress;
mod properties;
mod retries;
mod roles;
mod scheduler;
mod signals;
mod slurm;
mod update;

/// Entry point of the processes that the tests start.
#[test]
#[ignore = "not a test, but what the other tests start"]
fn role() {
    behaviors::play();
}
