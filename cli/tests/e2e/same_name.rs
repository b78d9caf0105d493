//! Several plans under one name: their files never mix.

use crate::lab::{FILE, Lab, NAME, TINY, until};

const SHORT: [&str; 6] = ["sweep", FILE, "--set", "train.epochs=1", "--set", "seeds=[0]"];
const COMMANDS: [&str; 2] =
    ["hashlab sweep tiny.toml", "hashlab sweep tiny.toml --set train.epochs=1 --set 'seeds=[0]'"];

/// The command that a table prints.
fn command(table: &str) -> &str {
    table.lines().find_map(|line| line.strip_prefix("  command    ")).unwrap_or_else(|| panic!("no command in {table}"))
}

/// Checks that the files of each plan are its own, and that a table is printed of each.
fn check_files(lab: &Lab, printed: [&str; 2]) {
    let plans = lab.plans();
    assert_eq!(plans.len(), 2);
    let mut found = Vec::new();
    for plan in plans {
        let file = |name: &str| format!("runs/sweeps/{NAME}/{plan}/{name}");
        let made_by = lab.read(&file("command"));
        let at = COMMANDS.iter().position(|command| *command == made_by).unwrap_or_else(|| panic!("{made_by}"));
        let table = lab.ok(&["table", &file("results.jsonl")]);
        assert_eq!(command(&table), made_by);
        assert_eq!(table, printed[at]);
        assert!(lab.read(&file("table.md")).contains(&made_by));
        assert_eq!(lab.read(&file("plan.jsonl")).lines().count(), [1 + 6, 1 + 3][at]);
        found.push(at);
    }
    found.sort();
    assert_eq!(found, [0, 1]);
}

#[test]
fn one_after_the_other() {
    let lab = Lab::with(TINY);
    let long = lab.ok(&["sweep", FILE]);
    let short = lab.ok(&SHORT);
    assert_eq!([command(&long), command(&short)], COMMANDS);
    check_files(&lab, [&long, &short]);

    let newest = lab.run(&["table", NAME]);
    assert_eq!((newest.code, &newest.stdout), (Some(0), &short));
    assert!(newest.stderr.starts_with("note: `tiny` was planned in 2 ways; this is the newest. "), "{}", newest.stderr);
    // The first command again: nothing is left to run, and its plan is the newest.
    assert_eq!(lab.ok(&["sweep", FILE]), long);
    assert_eq!(lab.ok(&["table", NAME]), long);
}

#[test]
fn at_once() {
    let lab = Lab::with(&TINY.replace("epochs = 8", "epochs = 60"));
    let both = [lab.start(&["sweep", FILE]), lab.start(&SHORT)].map(|sweep| sweep.end());
    let [long, short] = &both;
    assert_eq!((long.code, short.code), (Some(0), Some(0)), "{both:#?}");
    assert_eq!([command(&long.stdout), command(&short.stdout)], COMMANDS);
    check_files(&lab, [&long.stdout, &short.stdout]);
}

#[test]
fn an_interrupted_plan_keeps_the_files_of_the_others() {
    let lab = Lab::with(TINY);
    let finished = lab.ok(&SHORT);
    let before = lab.newest();
    let mut sweep = lab.start(&["sweep", FILE, "--set", "train.epochs=2000", "--jobs", "1"]);
    let log = || lab.path(&format!("runs/sweeps/{NAME}/{}/features.log", lab.newest()));
    until("a process of the new plan", || lab.newest() != before && log().exists());
    sweep.interrupt();
    assert_eq!(sweep.end().code, Some(130));
    assert_eq!(lab.ok(&["table", &format!("runs/sweeps/{NAME}/{before}/results.jsonl")]), finished);
    assert!(lab.ok(&["table", NAME]).contains("missing"));
}

/// What is printed runs when it is pasted.
#[test]
fn the_command_of_a_file_that_looks_like_an_option() {
    let lab = Lab::with(TINY);
    lab.write("-dash.toml", TINY);
    let table = lab.ok(&["sweep", "--", "-dash.toml"]);
    assert_eq!(command(&table), "hashlab sweep ./-dash.toml");
    lab.ok(&["sweep", "./-dash.toml"]);
}
