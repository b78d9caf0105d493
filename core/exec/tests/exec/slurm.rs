//! The client of Slurm against invented commands, for answers that a sound cluster does not give.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use hashlab_exec::slurm::{Slurm, SlurmError};
use tempfile::TempDir;

/// A folder of commands, each a shell script. `calls` counts those of sbatch.
struct Commands(TempDir);

impl Commands {
    fn new(scripts: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/bash\nhere={}\n{script}\n", folder.path().display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(folder)
    }

    fn slurm(&self) -> Slurm {
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").unwrap());
        Slurm::with_path(path, Duration::from_millis(1))
    }

    fn calls(&self) -> usize {
        fs::read_to_string(self.0.path().join("calls")).unwrap_or_default().lines().count()
    }
}

const COUNT: &str = "echo x >> $here/calls; calls=$(wc -l < $here/calls)";

#[test]
fn a_submission_returns_the_number_of_its_job() {
    for answer in ["17", "17;cluster", "a line of a plugin\\n17"] {
        let commands = Commands::new(&[("sbatch", &format!("printf '{answer}\\n'"))]);
        assert_eq!(commands.slurm().submit(Path::new("job.sh"), "hl"), Ok(17), "{answer}");
    }
}

#[test]
fn a_submission_without_an_answer_is_looked_for_before_it_is_repeated() {
    // It was accepted although the answer was lost.
    let sbatch = format!("{COUNT}; echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1");
    let accepted = Commands::new(&[("sbatch", &sbatch), ("squeue", "echo '41|0|PENDING|hl'")]);
    assert_eq!(accepted.slurm().submit(Path::new("job.sh"), "hl"), Ok(41));
    assert_eq!(accepted.calls(), 1, "a second submission would run everything twice");

    // It was not.
    let sbatch = format!("{COUNT}; if [ $calls -lt 3 ]; then echo 'connect failure' >&2; exit 1; fi; echo 42");
    let lost = Commands::new(&[("sbatch", &sbatch), ("squeue", "echo '41|0|PENDING|another'")]);
    assert_eq!(lost.slurm().submit(Path::new("job.sh"), "hl"), Ok(42));
    assert_eq!(lost.calls(), 3);
}

#[test]
fn while_the_queue_is_silent_nothing_is_submitted_twice() {
    let sbatch = format!("{COUNT}; echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1");
    let silent = Commands::new(&[("sbatch", &sbatch), ("squeue", "echo 'connect failure' >&2; exit 1")]);
    assert!(matches!(silent.slurm().submit(Path::new("job.sh"), "hl"), Err(SlurmError::Unknown(_))));
    assert_eq!(silent.calls(), 1);
}

#[test]
fn limits_and_refusals_are_told_apart() {
    let answer = |message: &str| {
        let sbatch = format!("{COUNT}; echo '{message}' >&2; exit 1");
        let commands = Commands::new(&[("sbatch", &sbatch), ("squeue", "true")]);
        let error = commands.slurm().submit(Path::new("job.sh"), "hl").unwrap_err();
        assert_eq!(commands.calls(), 1, "{message}");
        error
    };
    let full = [
        "sbatch: error: AssocMaxSubmitJobLimit",
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS \
         policy (job submit limit, user size and/or time limits)",
    ];
    for message in full {
        assert!(matches!(answer(message), SlurmError::Full(_)), "{message}");
    }
    let refused = answer("sbatch: error: invalid partition specified: nope");
    assert_eq!(refused.to_string(), "Slurm refuses: sbatch: sbatch: error: invalid partition specified: nope");
}

#[test]
fn a_queue_that_fails_is_unknown_and_not_empty() {
    let queue = |script: &str| Commands::new(&[("squeue", script)]).slurm().queue();
    assert!(matches!(
        queue("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"),
        Err(SlurmError::Unknown(_))
    ));
    assert!(queue("echo 'squeue: error: Invalid user id: 7' >&2; exit 1").is_err());
    assert_eq!(queue("true"), Ok(Vec::new()));
    let missing = Slurm::with_path("/nowhere", Duration::ZERO).queue();
    assert!(matches!(missing, Err(SlurmError::Unknown(_))), "{missing:?}");
}

#[test]
fn formats_of_the_users_environment_change_no_answer() {
    // The command sees the variables of this process without those that would change its output.
    let squeue = "[ -z \"$SQUEUE_FORMAT$SQUEUE_PARTITION\" ] && echo '5|1|RUNNING|hl'; for arg; do [ \"$arg\" = --partition ] && exit 3; done; true";
    let commands = Commands::new(&[("squeue", squeue)]);
    assert_eq!(commands.slurm().find("hl"), Ok(Some(5)));
}

#[test]
fn jobs_that_are_gone_are_cancelled_already() {
    let scancel = "echo 'scancel: error: Kill job error on job id 5: Invalid job id specified' >&2; exit 1";
    assert_eq!(Commands::new(&[("scancel", scancel)]).slurm().cancel(&[5]), Ok(()));
    let denied = "echo 'scancel: error: Access/permission denied' >&2; exit 1";
    assert!(Commands::new(&[("scancel", denied)]).slurm().cancel_task(5, 1).is_err());
    assert_eq!(Commands::new(&[("scancel", denied)]).slurm().cancel(&[]), Ok(()), "nothing is asked for");
}

#[test]
fn accounts_are_a_hint() {
    let disabled = "echo 'Slurm accounting storage is disabled' >&2; exit 1";
    assert!(Commands::new(&[("sacct", disabled)]).slurm().accounts(&[5], 0).is_empty());
    // Numbers of jobs come again, so that older records and those of other users are not asked for.
    let sacct = "case \"$*\" in *--uid*--starttime*uts9*) echo '5_1|TIMEOUT|0:0';; esac";
    let accounts = Commands::new(&[("sacct", sacct)]).slurm().accounts(&[5], 9);
    assert_eq!(accounts[&(5, Some(1))], "TIMEOUT");
}

#[test]
fn the_size_of_arrays_is_the_clusters() {
    let size = |script: &str| Commands::new(&[("scontrol", script)]).slurm().max_array_size();
    assert_eq!(size("echo 'MaxArraySize            = 64'"), Ok(64));
    assert_eq!(size("echo odd"), Ok(1001), "Slurm's own limit");
    assert!(size("echo 'connect failure' >&2; exit 1").is_err());
}
