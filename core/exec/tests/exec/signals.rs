//! Signals, to a run's process and to the sweep.

use std::path::Path;

use hashlab_exec::Event;
use hashlab_exec::{Completion, ExecEvent, Outcome};
use hashlab_store::RunState;
use rustix::process::Signal;

use crate::roles::{
    STOPPED, Sweep, assert_undisturbed, at_gate, eventually, execute, gate, job, open_gate, outcomes, runs, shell,
    shell_command, signal_run,
};

const ALL: [(Signal, &str); 5] = [
    (Signal::INT, "SIGINT"),
    (Signal::TERM, "SIGTERM"),
    (Signal::HUP, "SIGHUP"),
    (Signal::USR1, "SIGUSR1"),
    (Signal::USR2, "SIGUSR2"),
];

#[test]
fn every_signal_that_asks_to_end_leaves_a_checkpoint() {
    for (signal, name) in ALL {
        let root = tempfile::tempdir().unwrap();
        let run = &runs(root.path(), 1)[0];
        let summary = execute(vec![job(root.path(), 0, "gated")], |event| {
            if let ExecEvent::Progress { event: Event::Epoch { epoch: 7, .. }, .. } = event {
                signal_run(run, signal);
            }
        });
        let reason = Some(format!("received {name}"));
        assert_eq!(*outcomes(&summary)[0], Outcome::Interrupted { reason });
        assert_eq!(summary.completion(), Completion::Incomplete);
        assert_eq!(run.state(), RunState::Interrupted { checkpoint: true });
        assert_eq!(run.read_checkpoint().unwrap()[0], 7, "{name}");
    }
}

#[test]
fn a_terminated_process_is_one_interrupted_run() {
    let root = tempfile::tempdir().unwrap();
    let runs = runs(root.path(), 4);
    let behaviors = ["trains", "gated", "gated", "trains"];
    let mut sweep = Sweep::start(root.path(), &behaviors);
    eventually("the gated runs wait", || at_gate(&runs[1]) && at_gate(&runs[2]));
    signal_run(&runs[1], Signal::TERM);
    eventually("the next run is finished", || matches!(runs[3].state(), RunState::Finished(_)));
    open_gate(&gate(root.path()));
    assert_eq!(sweep.wait(), Some(3), "not 130: the user did not stop it");
    let line = sweep.printed().lines().find(|line| line.contains("INTERRUPTED")).unwrap().to_owned();
    assert!(line.contains(&runs[1].id().0) && line.ends_with(": received SIGTERM"), "{line}");
    assert!(matches!(runs[2].state(), RunState::Finished(_)));
    assert_eq!(Sweep::start(root.path(), &behaviors).wait(), Some(0));
    assert_undisturbed(&runs);
}

#[test]
fn every_signal_stops_a_sweep_gently() {
    for (signal, name) in ALL {
        let root = tempfile::tempdir().unwrap();
        let run = &runs(root.path(), 1)[0];
        let mut sweep = Sweep::start(root.path(), &["gated"]);
        eventually("the run waits", || at_gate(run));
        sweep.signal(signal);
        assert_eq!(sweep.wait(), Some(STOPPED), "{name}");
        assert_eq!(run.state(), RunState::Interrupted { checkpoint: true }, "{name}");
        assert_eq!(run.read_checkpoint().unwrap()[0], 7, "{name}");
    }
}

/// A closing terminal sends SIGHUP more than once, a service manager SIGTERM and SIGHUP.
#[test]
fn only_a_repeated_sigint_or_sigterm_stops_at_once() {
    let root = tempfile::tempdir().unwrap();
    let run = &runs(root.path(), 1)[0];
    let mut sweep = Sweep::start(root.path(), &["stubborn"]);
    eventually("it runs", || run.state() == RunState::Running);
    for signal in [Signal::HUP, Signal::HUP, Signal::TERM, Signal::USR1, Signal::INT] {
        sweep.signal(signal);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(run.state(), RunState::Running, "its checkpoint is waited for");
    sweep.signal(Signal::TERM);
    assert_eq!(sweep.wait(), Some(STOPPED));
    assert!(sweep.printed().contains("stopped at once: 1 process killed"), "{}", sweep.printed());
    assert_eq!(run.state(), RunState::Interrupted { checkpoint: false });
}

/// Whether an ignored signal is inherited can be seen in `/proc` alone.
#[test]
#[cfg(target_os = "linux")]
fn signals_that_are_ignored_at_the_start_stay_ignored() {
    let root = tempfile::tempdir().unwrap();
    let runs = runs(root.path(), 1);
    let mut sweep = Sweep::start_as(shell_command("trap '' HUP USR1"), root.path(), &["gated"]);
    eventually("the run waits", || at_gate(&runs[0]));
    for signal in [Signal::HUP, Signal::USR1] {
        sweep.signal(signal);
        signal_run(&runs[0], signal);
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    open_gate(&gate(root.path()));
    assert_eq!(sweep.wait(), Some(0), "{}", sweep.printed());
    assert_undisturbed(&runs);
}

#[test]
#[cfg(target_os = "linux")]
fn signals_that_are_blocked_at_the_start_stop_a_sweep() {
    let root = tempfile::tempdir().unwrap();
    let run = &runs(root.path(), 1)[0];
    let mut command = std::process::Command::new("env"); // of coreutils
    command.args(["--block-signal=TERM,USR1"]).arg(std::env::current_exe().unwrap());
    let mut sweep = Sweep::start_as(command, root.path(), &["gated"]);
    eventually("the run waits", || at_gate(run));
    sweep.signal(Signal::TERM);
    assert_eq!(sweep.wait(), Some(STOPPED), "{}", sweep.printed());
    assert_eq!(run.state(), RunState::Interrupted { checkpoint: true });
}

#[test]
fn the_limit_on_open_files_is_raised() {
    let printed = shell("ulimit -Sn 64", Path::new("/"), "raises-limit");
    assert!(printed.contains("opened true"), "{printed}");
}
