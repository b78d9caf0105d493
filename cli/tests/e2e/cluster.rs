//! Sweeps on an invented cluster: commands of Slurm as shell scripts, for what a real one does not do on demand.
//! `just test-slurm` meets a real one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use hashlab_store::RunState;

use crate::lab::{ALIKE, ALIKE_ERROR, Ended, FILE, Lab, NAME, Started, TINY, until};

/// Starts the tasks of a script one after the other, after those of the jobs that it waits for. Its answers may be lost,
/// and a limit may keep arrays out: see [`Cluster`].
const SBATCH: &str = r#"
script=${@: -1}
mkdir -p "$here/jobs"
echo "$script" >> "$here/calls"
[ -e "$here/silent" ] && { echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2; exit 1; }
if [ -e "$here/full" ] && [ "$(wc -l < "$here/calls")" -gt "$(cat "$here/full")" ]; then
    rm "$here/full"; echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1
fi
job=$(( $(ls "$here/jobs" | wc -l) + 1 ))
dir=$here/jobs/$job
mkdir "$dir"
sed -n 's/^#SBATCH --job-name=//p' "$script" > "$dir/name"
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$script")
after=$(sed -n 's/^#SBATCH --dependency=afterany://p' "$script" | tr : ' ')
mkdir "$dir/tasks"
for task in $(seq 0 "${last:-0}"); do echo PENDING > "$dir/tasks/$task"; done
{
    for other in $after; do while [ -e "$here" ] && [ ! -e "$here/jobs/$other/over" ]; do sleep 0.02; done; done
    for task in $(seq 0 "${last:-0}"); do
        [ -e "$here" ] || exit # the test is over
        while [ -e "$here/hold" ]; do sleep 0.02; done
        [ -e "$dir/cancelled" ] && { rm -f "$dir/tasks/$task"; continue; }
        echo RUNNING > "$dir/tasks/$task"
        if [ -e "$here/lose-$task" ]; then rm "$here/lose-$task"; echo NODE_FAIL > "$dir/tasks/$task"; continue; fi
        SLURM_ARRAY_TASK_ID=$task SLURM_CPUS_PER_TASK=1 bash "$script" >> "$dir/log" 2>&1
        echo "$?" >> "$here/codes"
        rm "$dir/tasks/$task" # forgotten at once
    done
    touch "$dir/over"
} > /dev/null 2>&1 < /dev/null &
[ -e "$here/lost-answers" ] && { rm "$here/lost-answers"; echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1; }
echo "$job"
"#;

const SQUEUE: &str = r#"
[ -e "$here/silent" ] && { echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1; }
for dir in "$here"/jobs/*; do
    for task in "$dir"/tasks/*; do
        [ -e "$task" ] && echo "$(basename "$dir")|$(basename "$task")|$(cat "$task")|$(cat "$dir/name")"
    done
done
true
"#;

const SCANCEL: &str = r#"
for target; do case $target in
    -*) ;;
    *_*) rm -f "$here/jobs/${target%_*}/tasks/${target#*_}" ;;
    *) touch "$here/jobs/$target/cancelled" ;;
esac; done
"#;

/// A lab with an invented cluster whose arrays have at most two tasks.
struct Cluster(Lab);

impl Cluster {
    fn with(experiment: &str, profile: &str) -> Self {
        let lab = Lab::with(experiment);
        lab.write("slurm.toml", profile);
        fs::create_dir(lab.path("bin")).unwrap();
        let scripts = [
            ("sbatch", SBATCH),
            ("squeue", SQUEUE),
            ("scancel", SCANCEL),
            ("scontrol", "echo 'MaxArraySize            = 2'"),
            ("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1"),
        ];
        for (name, script) in scripts {
            let path = lab.path(&format!("bin/{name}"));
            fs::write(&path, format!("#!/bin/bash\nhere={}\n{script}", lab.path("").display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(lab)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.command(args);
        let path = format!("{}:{}", self.0.path("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("HASHLAB_SLURM", self.0.path("slurm.toml"));
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    fn sweep(&self, more: &[&str]) -> Ended {
        self.run(&[&["sweep", FILE, "--executor", "slurm", "--no-times"], more].concat())
    }

    fn start(&self) -> Started {
        Started::of(self.command(&["sweep", FILE, "--executor", "slurm", "--no-times"]))
    }

    fn submissions(&self) -> usize {
        self.0.read("calls").lines().count()
    }

    /// The table of the same experiment without a cluster.
    fn local_table(&self) -> String {
        self.0.ok(&["--runs", "local", "sweep", FILE, "--no-times"])
    }
}

#[test]
fn a_cluster_finds_what_this_machine_finds() {
    let cluster = Cluster::with(TINY, "");
    let ended = cluster.sweep(&[]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stdout, cluster.local_table());
    assert_eq!(cluster.0.attempts(), [1; 6]);
    // Features, three arrays of two tasks with a run each, and the table.
    assert_eq!(cluster.submissions(), 1 + 3 + 1, "{}", cluster.0.read("calls"));
    assert!(
        ended.stderr.contains("6 runs submitted\n") && ended.stderr.contains("6 finished of 6 runs"),
        "{}",
        ended.stderr
    );
    assert_eq!(cluster.sweep(&[]).stdout, ended.stdout, "nothing is left to submit");
    assert_eq!(cluster.submissions(), 5);
    let status = cluster.run(&["status", NAME]);
    assert!(status.stdout.starts_with("tiny: 6 finished of 6 runs\n"), "{status:#?}");
}

#[test]
fn what_tasks_leave_is_submitted_again() {
    let cluster = Cluster::with(TINY, "runs_per_task = 3\n");
    cluster.0.write("lose-1", "");
    let ended = cluster.sweep(&[]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("3 runs submitted again\n"), "{}", ended.stderr);
    assert_eq!(ended.stdout, cluster.local_table());
    assert_eq!(cluster.0.attempts(), [1; 6]);
}

#[test]
fn a_lost_answer_submits_nothing_twice() {
    let cluster = Cluster::with(TINY, "");
    cluster.0.write("lost-answers", "");
    cluster.0.write("hold", ""); // tasks that are over and forgotten could not be found
    let following = cluster.start();
    until("arrays are submitted", || cluster.0.path("calls").exists() && cluster.submissions() == 5);
    fs::remove_file(cluster.0.path("hold")).unwrap();
    let ended = following.end();
    assert_eq!((ended.code, cluster.submissions()), (Some(0), 5), "{ended:#?}");
    assert_eq!(cluster.0.attempts(), [1; 6]);
}

#[test]
fn a_full_queue_gets_the_rest_later() {
    let cluster = Cluster::with(TINY, "");
    cluster.0.write("full", "2");
    let ended = cluster.sweep(&[]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("Slurm takes no more jobs for now: 4 runs left\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("4 runs submitted again\n"), "{}", ended.stderr);
    assert_eq!(cluster.0.attempts(), [1; 6]);
}

#[test]
fn a_silent_scheduler_is_waited_for() {
    let cluster = Cluster::with(TINY, "");
    cluster.0.write("hold", "");
    let mut following = cluster.start();
    until("arrays are submitted", || cluster.0.path("calls").exists() && cluster.submissions() == 5);
    cluster.0.write("silent", "");
    let status = cluster.run(&["status", NAME]);
    assert!(status.stdout.contains("6 unknown of 6 runs (Slurm does not answer: "), "{status:#?}");
    // What nobody may know is submitted by nobody.
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(cluster.submissions(), 5);
    // Ctrl-C leaves the jobs, and the same command follows them again.
    following.interrupt();
    let left = following.end();
    assert_eq!(left.code, Some(130), "{left:#?}");
    assert!(left.stderr.contains("jobs run on: `hashlab cancel tiny` cancels them"), "{}", left.stderr);
    fs::remove_file(cluster.0.path("silent")).unwrap();
    fs::remove_file(cluster.0.path("hold")).unwrap();
    let ended = cluster.sweep(&[]);
    assert_eq!((ended.code, cluster.submissions()), (Some(0), 5), "{ended:#?}");
    assert_eq!(cluster.0.attempts(), [1; 6]);
}

#[test]
fn a_killed_submission_is_taken_up() {
    let cluster = Cluster::with(TINY, "");
    cluster.0.write("hold", "");
    let following = cluster.start();
    until("arrays are submitted", || cluster.0.path("calls").exists() && cluster.submissions() == 5);
    let second = cluster.sweep(&[]);
    assert_eq!(second.code, Some(2), "{second:#?}");
    assert!(second.stderr.contains("another process submits and follows this sweep"), "{}", second.stderr);
    following.kill();
    fs::remove_file(cluster.0.path("hold")).unwrap();
    let ended = cluster.sweep(&[]);
    assert_eq!((ended.code, cluster.submissions()), (Some(0), 5), "{ended:#?}");
    assert_eq!(ended.stdout, cluster.local_table());
}

#[test]
fn one_run_or_all_are_cancelled() {
    let cluster = Cluster::with(TINY, "");
    cluster.0.write("hold", "");
    let detached = cluster.sweep(&["--detach"]);
    assert_eq!(detached.code, Some(0), "{detached:#?}");
    assert!(detached.stderr.contains("`hashlab status tiny` shows their state"), "{}", detached.stderr);
    let one = cluster.run(&["cancel", NAME, "--run", "lsh,seed=0"]);
    assert_eq!(
        one.stdout, "1 run cancelled; `hashlab sweep tiny.toml --executor slurm` takes them up again\n",
        "the command that goes on there"
    );
    fs::remove_file(cluster.0.path("hold")).unwrap();
    until("the others are finished", || {
        cluster.run(&["status", NAME]).stdout.contains("5 finished, 1 cancelled of 6 runs")
    });
    let again = cluster.run(&["status", NAME, "--resubmit"]);
    assert!(again.stdout.starts_with("0 runs submitted\n"), "what was cancelled on purpose stays so: {again:#?}");

    cluster.0.write(FILE, TINY.replace("seeds = [0, 1]", "seeds = [2, 3]"));
    cluster.0.write("hold", "");
    assert_eq!(cluster.sweep(&["--detach"]).code, Some(0));
    let all = cluster.run(&["cancel", NAME]);
    assert!(all.stdout.starts_with("6 runs cancelled; "), "{all:#?}");
    fs::remove_file(cluster.0.path("hold")).unwrap();
    until("no task is left", || cluster.run(&["status", NAME]).stdout.starts_with("tiny: 6 cancelled of 6 runs\n"));
    let ended = cluster.sweep(&[]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stdout, cluster.local_table());
}

#[test]
fn failures_are_final_until_they_are_asked_for_again() {
    let cluster = Cluster::with(ALIKE, "runs_per_task = 2\n");
    cluster.0.write_alike();
    let ended = cluster.sweep(&[]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains(&format!(" FAILED: {ALIKE_ERROR}")), "{}", ended.stderr);
    assert_eq!(cluster.0.attempts(), [1; 6]);
    let status = cluster.run(&["status", NAME]);
    assert!(status.stdout.contains("tiny: 4 finished, 2 failed of 6 runs\n"), "{status:#?}");
    assert!(
        status.stdout.contains("`hashlab sweep tiny.toml --executor slurm` executes what is left\n"),
        "{status:#?}"
    );
    let again = cluster.run(&["status", NAME, "--resubmit"]);
    assert!(again.stdout.starts_with("2 runs submitted\n"), "{again:#?}");
    until("they failed again", || cluster.0.attempts() == [1, 1, 2, 2, 1, 1]);
    until("tasks are over", || cluster.run(&["status", NAME]).stdout.contains("4 finished, 2 failed of 6 runs\n"));
    assert!(cluster.0.read("codes").lines().any(|code| code == "3"), "a task says that a run failed");
    let failed = cluster.0.runs_of("sh");
    assert!(failed.iter().all(|run| matches!(run.state(), RunState::Failed(_))));
}

/// A failure of an earlier attempt does not hide that the task of the next one vanished.
#[test]
fn a_failed_run_whose_task_vanishes_is_submitted_again() {
    let cluster = Cluster::with(ALIKE, "runs_per_task = 1\n");
    cluster.0.write_alike();
    assert_eq!(cluster.sweep(&[]).code, Some(3));
    cluster.0.write("lose-1", "");
    let again = cluster.sweep(&[]);
    assert!(again.stderr.contains("2 runs submitted\n"), "{}", again.stderr);
    assert!(again.stderr.contains("1 in no task of 6 runs"), "{}", again.stderr);
    assert!(again.stderr.contains("1 run submitted again\n"), "{}", again.stderr);
    assert_eq!(cluster.0.attempts(), [1, 1, 2, 2, 1, 1]);
}

/// A result is given up for its successor, on a cluster as on one machine. What fails is told all the same.
#[test]
fn a_repetition_that_fails_on_a_cluster_keeps_the_result() {
    let cluster = Cluster::with(TINY, "runs_per_task = 2\n");
    let before = cluster.sweep(&[]);
    assert_eq!(before.code, Some(0), "{before:#?}");
    let model = |run: &hashlab_store::RunDir| fs::read(run.model_path()).unwrap();
    let models: Vec<_> = cluster.0.runs().iter().map(model).collect();
    // A folder in the place of a file that training appends to.
    let block = |run: &hashlab_store::RunDir| {
        fs::remove_file(run.path().join("metrics.jsonl")).unwrap();
        fs::create_dir(run.path().join("metrics.jsonl")).unwrap();
    };
    cluster.0.runs_of("cibhash").iter().for_each(block);
    let ended = cluster.sweep(&["--rerun", "cibhash"]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert_eq!(ended.stderr.matches(" FAILED: ").count(), 2, "{}", ended.stderr);
    assert_eq!(ended.stdout, before.stdout, "the table is that of the results of before");
    assert_eq!(cluster.0.attempts(), [1, 1, 1, 1, 2, 2]);
    assert!(cluster.0.runs().iter().map(model).eq(models), "models too");
    assert!(cluster.0.runs().iter().all(|run| !run.has_previous()));
    // Nobody follows: the job of the table does it.
    let detached = cluster.sweep(&["--rerun", "cibhash", "--detach"]);
    assert_eq!(detached.code, Some(0), "{detached:#?}");
    until("the results of before are back", || {
        cluster.0.attempts() == [1, 1, 1, 1, 3, 3] && cluster.0.runs().iter().all(|run| run.result().is_some())
    });
    assert_eq!(cluster.0.ok(&["table", NAME, "--no-times"]), before.stdout);
    // A repetition that is cancelled before it began.
    cluster.0.write("hold", "");
    assert_eq!(cluster.sweep(&["--rerun", "lsh", "--detach"]).code, Some(0));
    assert!(cluster.0.runs_of("lsh").iter().all(|run| run.result().is_none()));
    assert!(cluster.run(&["cancel", NAME]).stdout.starts_with("2 runs cancelled; "));
    assert!(cluster.0.runs_of("lsh").iter().all(|run| run.result().is_some()));
    fs::remove_file(cluster.0.path("hold")).unwrap();
}

#[test]
fn the_first_failure_cancels_the_others_if_asked_to() {
    let cluster = Cluster::with(ALIKE, "runs_per_task = 6\n");
    cluster.0.write_alike();
    let ended = cluster.sweep(&["--fail-fast"]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("stopping after 1 failure: the other runs are cancelled\n"), "{}", ended.stderr);
    assert_eq!(cluster.0.attempts(), [1, 1, 1, 0, 0, 0], "the task of the failed run stopped by itself");
    let status = cluster.run(&["status", NAME]).stdout;
    assert!(status.starts_with("tiny: 2 finished, 1 failed, 3 cancelled of 6 runs\n"), "{status}");
    // Without the flag, the same command executes the rest.
    let again = cluster.sweep(&[]);
    assert_eq!(again.code, Some(3), "{again:#?}");
    assert!(again.stderr.contains("4 finished, 2 failed of 6 runs"), "{}", again.stderr);
    let local = cluster.run(&["--runs", "local", "sweep", FILE, "--no-times"]);
    assert_eq!((local.code, local.stdout), (Some(3), again.stdout));
}

#[test]
fn the_command_that_goes_on_names_the_profile() {
    let cluster = Cluster::with(TINY, "");
    cluster.0.write("lab.toml", "runs_per_task = 6\n");
    cluster.0.write("hold", "");
    assert_eq!(cluster.sweep(&["--detach", "--slurm", "lab.toml"]).code, Some(0));
    let cancelled = cluster.run(&["cancel", NAME]).stdout;
    let command = "`hashlab sweep tiny.toml --executor slurm --slurm lab.toml`";
    assert_eq!(cancelled, format!("6 runs cancelled; {command} takes them up again\n"));
    fs::remove_file(cluster.0.path("hold")).unwrap();
    until("no task is left", || cluster.run(&["status", NAME]).stdout.starts_with("tiny: 6 cancelled of 6 runs\n"));
    cluster.0.write("lose-1", "");
    cluster.0.write("slurm.toml", "resubmissions = 0\n");
    let ended = cluster.sweep(&["--slurm", "slurm.toml"]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    let status = cluster.run(&["status", NAME]).stdout;
    let command = "`status --resubmit` or `hashlab sweep tiny.toml --executor slurm --slurm slurm.toml`";
    assert!(status.contains(&format!("{command} executes what is left\n")), "{status}");
}

#[test]
fn a_profile_is_checked_line_by_line() {
    let cluster = Cluster::with(TINY, "partition = \"gpu\"\ncpu = 4\nmem = 16\ntime = \"1 hour\"\n");
    let wrong = cluster.sweep(&[]);
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    for part in
        ["there is no key `cpu`", "did you mean `cpus`?", "slurm.toml:2:1", "`mem` must be a string", "slurm.toml:3:7"]
    {
        assert!(wrong.stderr.contains(part), "{part}: {}", wrong.stderr);
    }
    cluster.0.write("slurm.toml", "time = \"1 hour\"\n");
    assert!(cluster.sweep(&[]).stderr.contains("`time` must be a limit such as `04:00:00`"));
    cluster.0.write("slurm.toml", "partition = \"gpu\"\nmax_running = 3\nlines = [\"module load cuda\"]\n");
    let script = cluster.run(&["plan", FILE, "--format", "sbatch"]).stdout;
    for part in ["#SBATCH --partition=gpu\n", "#SBATCH --array=0-5%3\n", "\nmodule load cuda\nexec /"] {
        assert!(script.contains(part), "{part}: {script}");
    }
    assert!(!cluster.0.path("runs").exists(), "nothing is written for a look");
}
