//! Failures that may pass: those of memory and of the system's input and output.

use std::error::Error;
use std::io;

use hashlab_exec::Passing;
use hashlab_store::StoreError;
use rustix::io::Errno;

/// What a driver of GPUs says when their memory is full.
const GPU_MEMORY: &str = "CUDA_ERROR_OUT_OF_MEMORY";

/// Errors of disks, network file systems and a system without resources, which are over after a while. A full disk or a
/// missing permission is not among them: they stay until someone does something.
const PASSING: [Errno; 7] =
    [Errno::IO, Errno::AGAIN, Errno::STALE, Errno::TIMEDOUT, Errno::NFILE, Errno::NOBUFS, Errno::HOSTDOWN];

/// Why a failure may pass; `None` if it would come again.
pub(crate) fn passing(error: &anyhow::Error) -> Option<Passing> {
    error.chain().find_map(|cause| match system_error(cause).and_then(Errno::from_io_error) {
        Some(Errno::NOMEM) => Some(Passing::Memory),
        Some(number) => PASSING.contains(&number).then_some(Passing::Io),
        None => cause.to_string().contains(GPU_MEMORY).then_some(Passing::Memory),
    })
}

/// The system's error, if this is one.
fn system_error<'e>(cause: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    match cause.downcast_ref::<StoreError>() {
        Some(StoreError::Io { error, .. }) => Some(error),
        _ => cause.downcast_ref::<io::Error>(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn errors_that_may_pass_are_found_among_their_causes() {
        let system = |number: Errno| io::Error::from_raw_os_error(number.raw_os_error());
        let wrapped = |number| Err::<(), _>(system(number)).context("cannot read features").unwrap_err();
        assert_eq!(passing(&wrapped(Errno::IO)), Some(Passing::Io));
        assert_eq!(passing(&wrapped(Errno::STALE)), Some(Passing::Io));
        assert_eq!(passing(&wrapped(Errno::NOMEM)), Some(Passing::Memory));
        assert_eq!(passing(&wrapped(Errno::NOSPC)), None);
        assert_eq!(passing(&wrapped(Errno::ACCESS)), None);
        let stored = StoreError::Io { action: "write", path: "x".into(), error: system(Errno::IO) };
        assert_eq!(passing(&stored.into()), Some(Passing::Io));
        assert_eq!(
            passing(&anyhow!("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")")),
            Some(Passing::Memory)
        );
        assert_eq!(passing(&anyhow!("the labels differ in length")), None);
    }
}
