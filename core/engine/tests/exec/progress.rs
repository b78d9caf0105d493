//! What users see.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashlab_engine::exec::progress::{Bars, Lines};
use hashlab_engine::exec::{CommandLine, Job, News, Observer, Outcome, Stop};
use hashlab_engine::store::Store;
use hashlab_engine::{Event, Status};
use indicatif::{ProgressDrawTarget, TermLike};

use crate::fixture::{config, result};

/// Five runs under `runs`, none of which is ever started.
fn jobs() -> Vec<Job> {
    let command = CommandLine { program: PathBuf::new(), args: vec![], env: vec![] };
    let run = |seed| Store::open("runs").run(&config(seed).id()).unwrap();
    (0..5).map(|seed| Job::run(run(seed), "nsh", "mAP@1000", command.clone())).collect()
}

/// Tells the story of five runs: one was finished before, one finishes, one fails, one diverges, one is stopped.
fn tell(observer: &mut dyn Observer, jobs: &[Job]) {
    let finished = Outcome::Finished(Box::new(result(&config(1).id(), 0.6125)));
    let failed = Outcome::Failed { message: "no such bank\nhelp: make one".into() };
    let mut diverged = result(&config(3).id(), 0.0);
    (diverged.status, diverged.message) = (Status::Diverged, Some("loss is NaN at step 12".into()));
    let took = Some(Duration::from_secs(83));

    observer.hear(News::Begin { jobs, done: &[0], parallel: NonZeroUsize::new(2).unwrap() });
    observer.hear(News::Started { job: 1 });
    observer.hear(News::Told { job: 1, event: &Event::Epoch { epoch: 3, epochs: 100, loss: 0.25, left: 40.0 } });
    observer.hear(News::Told { job: 1, event: &Event::Validation { epoch: 3, map: 0.5 } });
    observer.hear(News::Started { job: 2 });
    std::thread::sleep(Duration::from_millis(300)); // Bars redraw every 250 ms.
    observer.hear(News::Tick);
    observer.hear(News::Ended { job: 1, outcome: &finished, took });
    observer.hear(News::Ended { job: 2, outcome: &failed, took });
    observer.hear(News::Waiting { job: 3 });
    observer.hear(News::Started { job: 3 });
    observer.hear(News::Ended { job: 3, outcome: &Outcome::Finished(Box::new(diverged)), took });
    observer.hear(News::Started { job: 4 });
    observer.hear(News::Stopping { stop: Stop::Gently, running: 1 });
    observer.hear(News::Ended { job: 4, outcome: &Outcome::Interrupted, took });
    observer.hear(News::Over);
}

#[test]
fn lines_tell_the_story() {
    let mut out = Vec::new();
    let jobs = jobs();
    tell(&mut Lines::new(&mut out), &jobs);
    let text = String::from_utf8(out).unwrap();
    let id = |job: usize| jobs[job].title.clone();
    let expected = [
        "4 to do, 1 finished before, 2 at once".to_owned(),
        format!("{} started", id(1)),
        format!("{} started", id(2)),
        format!("[2/5] {} finished in 83 s, mAP@1000 0.613", id(1)),
        format!("[3/5] {} FAILED after 83 s: no such bank", id(2)),
        format!("  log: {}", jobs[2].log.display()),
        format!("{} is executed by another sweep: waiting for it", id(3)),
        format!("{} started", id(3)),
        format!("[4/5] {} diverged after 83 s: loss is NaN at step 12", id(3)),
        format!("{} started", id(4)),
        "stopping: 1 process will write a checkpoint and end; Ctrl-C again kills them".to_owned(),
        format!("[4/5] {} stopped; the same command goes on from its checkpoint", id(4)),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_validation_metric_stands_in_for_the_test_metric() {
    let jobs = jobs();
    let mut carved = result(&config(1).id(), 0.5);
    std::mem::swap(&mut carved.test, &mut carved.validation);
    let mut out = Vec::new();
    let mut lines = Lines::new(&mut out);
    lines.hear(News::Begin { jobs: &jobs, done: &[], parallel: NonZeroUsize::MIN });
    let (outcome, took) = (Outcome::Finished(Box::new(carved)), Some(Duration::from_secs(7000)));
    lines.hear(News::Ended { job: 1, outcome: &outcome, took });
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("finished in 1 h 57 min, validation mAP@1000 0.500\n"), "{text}");
}

#[test]
fn bars_show_what_runs_and_leave_the_terminal_clean() {
    let terminal = Screen::default();
    let jobs = jobs();
    tell(&mut Bars::on(ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255)), &jobs);
    let drawn = terminal.drawn();
    for text in [
        "epoch 3/100, loss 0.2500, validation mAP@1000 0.500, 40 s left",
        " 1/5 2 running, about ",
        " finished in 83 s, mAP@1000 0.613",
        " FAILED after 83 s: no such bank",
        "stopping: 1 process will write a checkpoint and end",
    ] {
        assert!(drawn.contains(text), "{text:?} is not in\n{drawn}");
    }
    let after = drawn.rsplit("stopped; the same command goes on").next().unwrap();
    assert!(!after.contains("starting"), "the bar of the stopped run is gone:\n{after}");
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
