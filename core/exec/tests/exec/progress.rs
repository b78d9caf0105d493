//! Output for users.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashlab_exec::Event;
use hashlab_exec::progress::{BarStyle, Bars, Lines};
use hashlab_exec::{CommandLine, ExecEvent, Execution, Job, JobGraph, JobId, Observer, Outcome, Program, Urgency};
use hashlab_store::Status;
use hashlab_store::Store;
use indicatif::{ProgressDrawTarget, TermLike};

use crate::fixture::{config, result};
use crate::roles::here;

/// A stage and five runs under `runs` that need it, none of which is ever started.
fn jobs() -> JobGraph {
    let command = CommandLine { program: Program::path("true"), args: vec![], env: vec![] };
    let mut graph = JobGraph::new();
    let stage = graph.add(Job::stage("features", "features of shapes", "runs/features.log", command.clone()), &[]);
    for seed in 0..5 {
        let run = Store::open("runs").run(&config(seed).id()).unwrap();
        graph.add(Job::run(run, "nsh", "mAP@1000", command.clone()), &[stage]);
    }
    graph
}

/// Sends the events of a stage and five runs: one was finished before, one finishes, one fails, one diverges, one is
/// stopped.
fn send_events(observer: &mut dyn Observer, graph: &JobGraph) {
    let finished = Outcome::from(&result(&config(1).id(), 0.6125));
    let failed = Outcome::Failed { message: "no such file\ndetails\nhelp: make one".into() };
    let mut diverged = result(&config(3).id(), 0.0);
    (diverged.status, diverged.message) = (Status::Diverged, Some("loss is NaN at step 12".into()));
    let ids: Vec<JobId> = graph.ids().collect();
    let slots = vec![NonZeroUsize::MIN; ids.len()];
    let started = |at: usize| ExecEvent::Started { id: ids[at], job: graph.job(ids[at]) };
    let exited = |at: usize| ExecEvent::Exited { id: ids[at], job: graph.job(ids[at]) };
    let epoch = Event::Epoch { epoch: 3, epochs: 100, loss: 0.25, left: Some(40.0) };
    let validation = Event::Validation { epoch: 3, map: 0.5 };
    let capacity = NonZeroUsize::new(2).unwrap();
    observer.on_event(ExecEvent::Begin { graph, done: &[(ids[1], 0)], capacity, slots: &slots });
    let end = |observer: &mut dyn Observer, at: usize, outcome: &Outcome| {
        observer.on_event(exited(at));
        let (id, job, execution) = (ids[at], graph.job(ids[at]), here(83));
        observer.on_event(ExecEvent::Ended { id, job, part: 0, outcome, execution });
    };
    observer.on_event(started(0));
    end(observer, 0, &Outcome::StageDone);
    observer.on_event(started(2));
    for event in [&epoch, &validation] {
        observer.on_event(ExecEvent::Progress { id: ids[2], job: graph.job(ids[2]), event });
    }
    observer.on_event(started(3));
    std::thread::sleep(Duration::from_millis(300)); // Bars redraw every 250 ms.
    observer.on_event(ExecEvent::Tick);
    end(observer, 2, &finished);
    end(observer, 3, &failed);
    observer.on_event(ExecEvent::Waiting { id: ids[4], job: graph.job(ids[4]), part: 0 });
    observer.on_event(started(4));
    end(observer, 4, &Outcome::from(&diverged));
    observer.on_event(started(5));
    observer.on_event(ExecEvent::Stopping { urgency: Urgency::Gently, running: 1, failures: None });
    end(observer, 5, &Outcome::Interrupted { reason: None });
    observer.on_event(ExecEvent::Over);
}

#[test]
fn lines_tell_the_story() {
    let mut out = Vec::new();
    send_events(&mut Lines::new(&mut out), &jobs());
    let text = String::from_utf8(out).unwrap();
    let id = |seed: u64| config(seed).id();
    let expected = [
        "1 shared stage and 4 runs to do, 1 finished before, 2 at once".to_owned(),
        "features of shapes started".to_owned(),
        "[2/6] features of shapes done in 83 s".to_owned(),
        format!("{} started", id(1)),
        format!("{} started", id(2)),
        format!("[3/6] {} finished in 83 s, mAP@1000 0.613", id(1)),
        format!("[4/6] {} FAILED after 83 s: no such file", id(2)),
        "  help: make one".to_owned(),
        format!("{} is executed by another sweep: waiting for it", id(3)),
        format!("{} started", id(3)),
        format!("[5/6] {} diverged after 83 s: loss is NaN at step 12", id(3)),
        format!("{} started", id(4)),
        "stopping: 1 process will end, with a checkpoint if in training; Ctrl-C again kills them".to_owned(),
        format!("[5/6] {} stopped; the same command resumes it", id(4)),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

/// Output of [`Lines`] at the end of one run of [`jobs`].
fn ending(outcome: &Outcome, execution: Execution) -> String {
    let graph = jobs();
    let id = graph.ids().nth(2).unwrap();
    let mut out = Vec::new();
    let mut lines = Lines::new(&mut out);
    let slots = vec![NonZeroUsize::MIN; 6];
    lines.on_event(ExecEvent::Begin { graph: &graph, done: &[], capacity: NonZeroUsize::MIN, slots: &slots });
    lines.on_event(ExecEvent::Ended { id, job: graph.job(id), part: 0, outcome, execution });
    let text = String::from_utf8(out).unwrap();
    text.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn the_validation_metric_stands_in_for_the_test_metric() {
    let mut carved = result(&config(1).id(), 0.5);
    std::mem::swap(&mut carved.test, &mut carved.validation);
    let text = ending(&Outcome::from(&carved), here(7000));
    assert!(text.ends_with("finished in 1 h 57 min, validation mAP@1000 0.500\n"), "{text}");
}

#[test]
fn an_interruption_from_outside_differs_from_a_stop() {
    let text = ending(&Outcome::Interrupted { reason: Some("received SIGTERM".into()) }, here(3));
    assert!(text.contains(" INTERRUPTED after 3 s, by nobody in this sweep: received SIGTERM\n"), "{text}");
    assert!(text.ends_with("  the same command resumes it\n"), "{text}");
}

#[test]
fn runs_that_a_failure_takes_along_are_counted_and_not_listed() {
    let failed = Outcome::Failed { message: "its features failed: no images".into() };
    assert_eq!(ending(&failed, Execution::Dropped), "");
    let graph = jobs();
    let (id, job) = (graph.ids().next().unwrap(), &graph.jobs()[0]);
    let mut out = Vec::new();
    Lines::new(&mut out).on_event(ExecEvent::Dropped { id, job, runs: 5 });
    assert_eq!(String::from_utf8(out).unwrap(), "5 runs that need features of shapes will not start\n");
}

#[test]
fn bars_show_what_runs_and_leave_the_terminal_clean() {
    let terminal = Screen::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
    send_events(&mut Bars::on(target, BarStyle::Unicode), &jobs());
    let drawn = terminal.drawn();
    for text in [
        "epoch 3/100, loss 0.2500, validation mAP@1000 0.500, 40 s left",
        " 2/6 2 running, about ",
        " finished in 83 s, mAP@1000 0.613",
        " FAILED after 83 s: no such file",
        "stopping: 1 process will end, with a checkpoint if in training",
    ] {
        assert!(drawn.contains(text), "{text:?} is not in\n{drawn}");
    }
    let after = drawn.rsplit("stopped; the same command resumes").next().unwrap();
    assert!(!after.contains("starting"), "the bar of the stopped run is gone:\n{after}");
}

#[test]
fn bars_of_other_locales_are_plain_characters() {
    let terminal = Screen::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
    send_events(&mut Bars::on(target, BarStyle::Ascii), &jobs());
    assert!(terminal.drawn().is_ascii(), "{}", terminal.drawn());
    assert!(terminal.drawn().contains("===>---"), "{}", terminal.drawn());
}

/// A terminal that keeps all that is ever drawn.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<String>>);

impl Screen {
    fn drawn(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        200
    }
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(&format!("{line}\n"))
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
