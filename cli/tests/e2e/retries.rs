//! Runs that are repeated, and runs that wait for memory.

use hashlab_store::RunState;
use rustix::process::Signal;

use crate::findings::Findings;
use crate::interruptions::at;
use crate::lab::{FILE, Lab, NAME, TINY, signal_worker, until};

/// Runs of CIBHash that take about a second.
fn long() -> String {
    TINY.replace("epochs = 8", "epochs = 200").replace("[[method]]\nname = \"itq\"\n\n", "")
}

/// As the kernel does where memory is full.
#[test]
fn a_run_that_the_kernel_kills_goes_on_alone() {
    let undisturbed = Lab::with(&long());
    undisturbed.ok(&["sweep", FILE]);
    let lab = Lab::with(&long());
    let victim = &lab.runs_of("cibhash")[0];
    let sweep = lab.start(&["sweep", FILE, "--jobs", "2"]);
    until("epochs of the victim", || at(victim, 1, 5));
    signal_worker(victim, Signal::KILL);
    let ended = sweep.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let said = format!("{} failed, and is tried again (out of memory: alone): killed by signal 9", victim.id());
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    let retries: Vec<_> = victim.attempts().into_iter().map(|attempt| attempt.retry).collect();
    assert_eq!(retries, [None, Some("out of memory: alone".to_owned())]);
    assert_eq!(Findings::of(&lab), Findings::of(&undisturbed));
    // Shown beside the run, and on the page.
    let shown = lab.ok(&["show", &victim.id().0]);
    assert!(shown.contains("repeated      out of memory: alone"), "{shown}");
    let page = lab.read(&format!("runs/sweeps/{NAME}/{}/report.html", lab.newest()));
    assert!(page.contains("out of memory: alone"));
}

#[test]
fn a_run_that_is_killed_too_often_has_failed() {
    let lab = Lab::with(&long());
    let victim = &lab.runs_of("cibhash")[1];
    let sweep = lab.start(&["sweep", FILE, "--jobs", "2", "--retries", "1"]);
    for attempt in [1, 2] {
        until("an attempt of the victim", || at(victim, attempt, 3));
        signal_worker(victim, Signal::KILL);
    }
    let ended = sweep.end();
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(matches!(victim.state(), RunState::Failed(_)));
    assert_eq!(lab.attempts(), [1, 1, 1, 2]);
    assert!(ended.stdout.contains("killed by signal 9"), "{}", ended.stdout);
}

/// The largest number of runs that were under way at once, by the lines of a sweep.
fn most_at_once(lines: &str) -> usize {
    let (mut running, mut most) = (0_usize, 0);
    for line in lines.lines().filter(|line| line.contains("-b16-s")) {
        running += usize::from(line.ends_with(" started"));
        running -= usize::from(line.contains(" finished in "));
        most = most.max(running);
    }
    most
}

#[test]
fn runs_wait_for_the_memory_that_earlier_ones_took() {
    let lab = Lab::with(&long());
    let first = lab.run(&["sweep", FILE, "--jobs", "2", "--memory", "1M"]);
    assert_eq!(first.code, Some(0), "{first:#?}");
    assert!(!first.stderr.contains("waits for memory"), "nothing is known of these runs: {}", first.stderr);

    lab.write(FILE, long().replace("seeds = [0, 1]", "seeds = [2, 3]"));
    let second = lab.run(&["sweep", FILE, "--jobs", "2", "--memory", "1M"]);
    assert_eq!(second.code, Some(0), "{second:#?}");
    assert_eq!(second.stderr.matches(" waits for memory beside 1 job: it is likely to take ").count(), 1);
    assert!(second.stderr.contains("and all have 1 MiB (`--memory`)"), "{}", second.stderr);
    assert_eq!(most_at_once(&second.stderr), 1, "{}", second.stderr);

    lab.write(FILE, long().replace("seeds = [0, 1]", "seeds = [4, 5]"));
    let third = lab.run(&["sweep", FILE, "--jobs", "2", "--memory", "64G"]);
    assert_eq!((third.code, third.stderr.contains("waits for memory")), (Some(0), false), "{third:#?}");
    assert_eq!(most_at_once(&third.stderr), 2, "{}", third.stderr);
}
