//! Plans for other engines: their files satisfy the engines' schemas, and what they start ends with the table of a sweep
//! on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use boon::{Compiler, Schemas};
use serde_json::Value;

use crate::lab::{Ended, FILE, Lab, NAME, PROGRAM, TINY};

/// Fails if a schema of `tests/fixtures` has something against a value.
fn satisfies(schema: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(schema);
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let index = compiler.compile(path.to_str().unwrap(), &mut schemas).unwrap_or_else(|wrong| panic!("{wrong:#}"));
    schemas.validate(value, index).unwrap_or_else(|wrong| panic!("{wrong:#}\n{value:#}"));
}

fn job(lab: &Lab, more: &[&str]) -> Value {
    let text = lab.ok(&[&["plan", FILE, "--format", "k8s"], more].concat());
    let job: Value = serde_yaml_ng::from_str(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    satisfies("kubernetes-job.schema.json", &job);
    job
}

fn job_file(lab: &Lab, more: &[&str]) -> Value {
    let text = lab.ok(&[&["plan", FILE, "--format", "hq"], more].concat());
    let file: Value = toml::from_str(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    satisfies("hyperqueue-job.schema.json", &file);
    file
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Executes the command of a task, whose program is this one, as an engine would.
fn execute(lab: &Lab, words: &[&str], env: &[(&str, &str)]) {
    assert_eq!(words[0], "hashlab");
    let ended: Ended = lab.command(&words[1..]).envs(env.iter().copied()).output().unwrap().into();
    assert_eq!(ended.code, Some(0), "{words:?}: {ended:#?}");
}

/// Compares the table of what engines executed with that of a sweep elsewhere.
fn equal_tables(lab: &Lab) {
    assert_eq!(lab.attempts(), [1; 6], "every run was begun once");
    let swept = lab.ok(&["sweep", FILE, "--no-times"]);
    assert_eq!(lab.attempts(), [1; 6], "nothing was left");
    assert_eq!(swept, lab.ok(&["--runs", "local", "sweep", FILE, "--no-times"]));
}

#[test]
fn the_indices_of_a_kubernetes_job_execute_a_plan() {
    let lab = Lab::with(TINY);
    lab.write("pod.toml", "cpus = 2\nruns_per_task = 4\nmax_running = 1\nclaim = \"data\"\n");
    let job = job(&lab, &["--profile", "pod.toml"]);
    let spec = &job["spec"];
    assert_eq!(
        (&spec["completions"], &spec["parallelism"]),
        (&Value::from(2), &Value::from(1)),
        "6 runs in packs of 4"
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "data");
    let container = &pod["containers"][0];
    let command: Vec<&str> = [words(&container["command"]), words(&container["args"])].concat();
    assert_eq!(command.last(), Some(&"$(JOB_COMPLETION_INDEX)"));
    for index in ["1", "0"] {
        let command: Vec<String> = command.iter().map(|word| word.replace("$(JOB_COMPLETION_INDEX)", index)).collect();
        execute(&lab, &command.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    }
    equal_tables(&lab);
    assert_eq!(lab.ok(&["plan", FILE, "--format", "k8s"]), "", "nothing is left to do");
}

#[test]
fn a_kubernetes_job_is_what_its_profile_says() {
    let lab = Lab::with(TINY);
    let profile = "image = \"ghcr.io/lab/hashlab:1\"\nnamespace = \"ml\"\nmount = \"/mnt/my data\"\ncpus = 4\n\
                   memory = \"8Gi\"\ngpus = 1\nretries = 5\nwarning = 30\n";
    lab.write("pod.toml", profile);
    let mut plan = lab.command(&["plan", FILE, "--format", "k8s", "--profile", "pod.toml", "--set", "train.epochs=9"]);
    plan.env("HASHLAB_SET_BITS", "[8, 16]");
    let text = Ended::from(plan.output().unwrap()).stdout;
    satisfies("kubernetes-job.schema.json", &serde_yaml_ng::from_str(&text).unwrap());
    let digest = text.split("name: hashlab-tiny-").nth(1).unwrap().lines().next().unwrap();
    insta::assert_snapshot!(text.replace(digest, "[digest]"));
}

#[test]
fn the_tasks_of_a_hyperqueue_job_execute_a_plan() {
    let lab = Lab::with(TINY);
    lab.write("task.toml", "cpus = 2\ngpus = 1\ntime = \"2h\"\nmax_fails = 3\n");
    let with_gpus = job_file(&lab, &["--profile", "task.toml"]);
    assert_eq!((&with_gpus["name"], &with_gpus["max_fails"]), (&"hashlab tiny".into(), &3.into()));
    let tasks = with_gpus["task"].as_array().unwrap();
    assert_eq!(tasks.len(), 3, "as many runs as processors in each");
    let expected = serde_json::json!([{ "resources": { "cpus": 2, "gpus/nvidia": 1 } }]);
    assert_eq!((&tasks[0]["request"], &tasks[0]["time_limit"]), (&expected, &"2h".into()));
    assert!(words(&tasks[0]["command"]).windows(2).any(|pair| pair == ["--device", "cuda"]), "{tasks:#?}");

    let mut plan = lab.command(&["plan", FILE, "--format", "hq"]);
    let plan =
        Ended::from(plan.env("HASHLAB_SET_TRAIN__EPOCHS", "8").env("HASHLAB_LOCKS", "lease").output().unwrap()).stdout;
    let file: Value = toml::from_str(&plan).unwrap();
    satisfies("hyperqueue-job.schema.json", &file);
    let env = serde_json::json!({ "HASHLAB_LOCKS": "lease", "HASHLAB_SET_TRAIN__EPOCHS": "8" });
    assert_eq!(file["task"][0]["env"], env, "what says which runs, and how all tasks claim them");
    for task in file["task"].as_array().unwrap().iter().rev() {
        execute(&lab, &words(&task["command"]), &[("HASHLAB_SET_TRAIN__EPOCHS", "8"), ("HASHLAB_LOCKS", "lease")]);
    }
    equal_tables(&lab);
    assert_eq!(lab.ok(&["plan", FILE, "--format", "hq"]), "", "nothing is left to do");
}

/// A program of the search path.
fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// GNU parallel, or `xargs` where it is not installed, starts the commands four at a time.
#[test]
#[expect(clippy::print_stderr, reason = "a test of something else says so")]
fn gnu_parallel_executes_the_commands_of_a_plan() {
    let lab = Lab::with(TINY);
    lab.write("commands", lab.ok(&["plan", FILE, "--format", "commands"]));
    let script = match find("parallel") {
        Some(_) => "parallel --will-cite --jobs 4 --joblog joblog < commands",
        None => {
            eprintln!("GNU parallel is not installed: xargs executes the commands");
            "tr '\\n' '\\0' < commands | xargs -0 -n 1 -P 4 sh -c"
        }
    };
    let mut command: Command = lab.command_of("sh", &["-c", script]);
    let folder = Path::new(PROGRAM).parent().unwrap();
    command.env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())).stdin(Stdio::null());
    let ended: Ended = command.output().unwrap().into();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    if find("parallel").is_some() {
        let joblog = lab.read("joblog");
        assert_eq!(joblog.lines().count(), 1 + 6, "{joblog}");
    }
    equal_tables(&lab);
    assert_eq!(lab.ok(&["table", NAME, "--no-times"]), lab.ok(&["sweep", FILE, "--no-times"]));
}

#[test]
fn a_profile_is_checked_and_must_be_used() {
    let lab = Lab::with(TINY);
    lab.write("pod.toml", "cpu = 4\nmount = \"work\"\n");
    let said = lab.refused(&["plan", FILE, "--format", "k8s", "--profile", "pod.toml"]);
    for part in ["there is no key `cpu`", "did you mean `cpus`?", "pod.toml:1:1"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    lab.write("pod.toml", "mount = \"work\"\n");
    let said = lab.refused(&["plan", FILE, "--format", "k8s", "--profile", "pod.toml"]);
    assert!(said.contains("`mount` must be an absolute path") && said.contains("pod.toml:1:9"), "{said}");
    lab.write("task.toml", "time = \"\"\n");
    let said = lab.refused(&["plan", FILE, "--format", "hq", "--profile", "task.toml"]);
    assert!(said.contains("`time` must be a limit such as `2h`"), "{said}");
    let said = lab.refused(&["plan", FILE, "--profile", "task.toml"]);
    assert!(said.contains("`--profile` describes tasks of `--format k8s` and `--format hq` alone"), "{said}");
    assert!(!lab.path("runs").exists(), "nothing is written for a look");
}

#[test]
fn packs_are_counted_from_0() {
    let lab = Lab::with(TINY);
    lab.ok(&["exec", FILE, "--runs-per-index", "4", "--index", "1"]);
    assert_eq!(lab.attempts(), [0, 0, 0, 0, 1, 1]);
    let said = lab.refused(&["exec", FILE, "--runs-per-index", "4", "--index", "2"]);
    assert!(said.contains("`--index 2` is beyond the plan\nhelp: it has packs 0 to 1"), "{said}");
}

/// A file of the quickstart's name in the working directory is another experiment.
#[test]
fn commands_of_the_built_in_experiment_execute_it_beside_a_file_of_its_name() {
    let lab = Lab::with(TINY);
    lab.write("quickstart.toml", TINY);
    let few = ["--set", "data.items=60", "--set", "train.epochs=1", "--set", "bits=[16]", "--set", "seeds=[0]"];
    let commands = lab.ok(&[&["plan", "--format", "commands"], &few[..]].concat());
    for command in commands.lines() {
        // Quotes are for a shell, which parts no word of these.
        let words = command.split(' ').map(|word| word.trim_matches('\''));
        execute(&lab, &words.collect::<Vec<_>>(), &[]);
    }
    let plan = lab.ok(&[&["plan"], &few[..]].concat());
    let runs = commands.lines().count();
    assert!(runs > 1 && plan.contains(&format!("runs: {runs} finished\n")), "{plan}");
}
