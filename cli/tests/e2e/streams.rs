//! Logs, terminals and files that cannot take what is written to them.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::findings::Findings;
use crate::lab::{ALIKE, FILE, Lab, NAME, PROGRAM, TINY};

/// The device on which every write fails as on a full disk.
const FULL: &str = "/dev/full";

fn full() -> File {
    File::options().write(true).open(FULL).unwrap()
}

#[test]
fn logs_on_a_full_disk_fail_no_run() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let before = Findings::of(&lab);
    let log = lab.path(&format!("runs/sweeps/{NAME}/{}/features.log", lab.newest()));
    fs::remove_dir_all(lab.path("runs/cache")).unwrap();
    fs::remove_file(&log).unwrap();
    symlink(FULL, log).unwrap();
    for run in lab.runs() {
        fs::remove_dir_all(run.path()).unwrap();
        fs::create_dir(run.path()).unwrap();
        symlink(FULL, run.log_path()).unwrap();
    }
    lab.ok(&["sweep", FILE]);
    assert_eq!(lab.attempts(), [1; 6]);
    assert_eq!(Findings::of(&lab), before);
}

#[test]
fn a_warning_that_cannot_be_written_stops_nothing() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let result = lab.runs()[0].path().join("result.json");
    fs::write(result, "half of").unwrap();
    for (args, code, part) in [
        (&["table", NAME][..], 0, "LSH, 16 bits: 1 missing of 2 runs"),
        (&["plan", FILE], 0, "interrupted"),
        (&["sweep", FILE], 0, " LSH "),
    ] {
        let ended = lab.command(args).stderr(full()).output().unwrap();
        let printed = String::from_utf8(ended.stdout).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{args:?}: {printed}");
        assert!(printed.contains(part), "{args:?}: {printed}");
    }
}

#[test]
fn a_table_is_printed_even_if_its_files_cannot_be_written() {
    let lab = Lab::with(TINY);
    let table = lab.ok(&["sweep", FILE]);
    let file = lab.path(&format!("runs/sweeps/{NAME}/{}/results.jsonl", lab.newest()));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let ended = lab.run(&["sweep", FILE]);
    assert_eq!((ended.code, ended.stdout), (Some(0), table.clone()));
    assert!(ended.stderr.starts_with("warning: cannot write "), "{}", ended.stderr);
    assert!(ended.stderr.contains("results.jsonl"), "{}", ended.stderr);

    // Nothing of the sweep's own can be written: its runs are kept elsewhere.
    fs::remove_dir_all(lab.path("runs/sweeps")).unwrap();
    lab.write("runs/sweeps", "no folder");
    let ended = lab.run(&["sweep", FILE]);
    assert_eq!((ended.code, ended.stdout), (Some(0), table));
    assert!(ended.stderr.starts_with("warning: cannot write "), "{}", ended.stderr);
}

/// Runs the program on a terminal of the kind `term`; returns what the terminal receives.
fn on_terminal(lab: &Lab, args: &str, term: Option<&str>) -> String {
    let term: Vec<_> = term.map(|term| ("TERM", term)).into_iter().collect();
    on_terminal_with(lab, args, &term)
}

/// Runs the program on a terminal with these variables.
fn on_terminal_with(lab: &Lab, args: &str, variables: &[(&str, &str)]) -> String {
    let mut command: Command =
        lab.command_of("script", &["-qec", &format!("stty cols 100 rows 30; exec {PROGRAM} {args}"), "/dev/null"]);
    command.env_remove("TERM").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("CLICOLOR");
    command.envs(variables.iter().copied());
    let output = command.output().expect("`script`, of util-linux, makes the terminal");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_sweep_is_watched_in_the_terminal() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    let said = lab.refused(&["watch", NAME, "--tui"]);
    assert!(said.contains("needs a terminal") && said.contains("hashlab status"), "{said}");
    let mut script = lab.command_of(
        "script",
        &["-qec", &format!("stty cols 100 rows 30; exec {PROGRAM} watch {NAME} --tui"), "/dev/null"],
    );
    script.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.spawn().expect("`script`, of util-linux, makes the terminal");
    let mut keys = script.stdin.take().unwrap();
    let shown = std::thread::spawn({
        let mut screen = script.stdout.take().unwrap();
        move || {
            let (mut text, mut part) = (String::new(), [0; 4096]);
            while let Ok(length @ 1..) = screen.read(&mut part) {
                text += &String::from_utf8_lossy(&part[..length]);
                // Spaces are not drawn where there were spaces before. Keys answer what is drawn: without its escapes, this
                // is the terminal's echo of keys that came after the program had ended.
                if text.contains("quit") && part[..length].contains(&0x1b) {
                    let _ = keys.write_all(b"jq");
                }
            }
            text
        }
    });
    assert!(script.wait().unwrap().success());
    let text = shown.join().unwrap();
    assert!(["finished", "validation", "choose"].iter().all(|word| text.contains(word)), "{text}");
    assert!(lab.runs().iter().all(|run| text.contains(&run.id().0)), "{text}");
    assert!(text.contains("\x1b[?1049l"), "the screen of before is back: {text:?}");
}

#[test]
fn a_terminal_without_bars_shows_lines() {
    for term in [Some("dumb"), None] {
        let lab = Lab::with(TINY);
        let text = on_terminal(&lab, &format!("sweep {FILE}"), term);
        assert!(text.contains("2 shared stages and 6 runs to do"), "{term:?}: {text}");
        assert!(text.contains("[8/8] ") && text.contains(" finished in "), "{term:?}: {text}");
        assert!(text.contains(" CIBHash "), "the table: {text}");
        assert!(!text.contains('\x1b'), "{term:?}: {text:?}");
        // Failures, too.
        lab.write(FILE, ALIKE);
        lab.write_alike();
        assert!(on_terminal(&lab, &format!("sweep {FILE}"), term).contains(" FAILED after "));
    }
}

#[test]
fn a_terminal_is_used_as_its_variables_say() {
    let lab = Lab::with(TINY);
    for (variables, colors) in [
        (&[("LANG", "C.UTF-8")][..], true),
        (&[("LANG", "C")], true),
        (&[("LANG", "C.UTF-8"), ("NO_COLOR", "1")], false),
        (&[("LANG", "C.UTF-8"), ("NO_COLOR", "")], true),
        (&[("LANG", "C.UTF-8"), ("CLICOLOR", "0")], false),
        (&[("LANG", "C.UTF-8"), ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false),
    ] {
        let variables = [&[("TERM", "xterm"), ("LC_ALL", ""), ("LC_CTYPE", "")], variables].concat();
        let text = on_terminal_with(&lab, &format!("sweep {FILE} --rerun lsh"), &variables);
        let colored = text
            .split("\x1b[")
            .skip(1)
            .any(|rest| rest.trim_start_matches(|c: char| "0123456789;".contains(c)).starts_with('m'));
        assert_eq!(colored, colors, "{variables:?}: {text:?}");
    }
    // A pipe is colored on request alone.
    let mut table = lab.command(&["table", NAME]);
    assert!(!String::from_utf8(table.output().unwrap().stdout).unwrap().contains('\x1b'));
    assert!(String::from_utf8(table.env("CLICOLOR_FORCE", "1").output().unwrap().stdout).unwrap().contains('\x1b'));
}

#[test]
fn a_mistake_in_color_has_one_head() {
    let lab = Lab::with(&TINY.replace("batch_size", "batchsize"));
    let text = on_terminal(&lab, &format!("plan {FILE}"), Some("xterm"));
    assert!(text.contains('\x1b'), "in color: {text:?}");
    let plain: String = text.split('\x1b').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
    assert!(plain.starts_with("error: `[train]` has no key `batchsize`"), "{plain}");
    assert_eq!(plain.matches("error").count(), 1, "{plain}");
}

/// A locale without UTF-8 gets ASCII on its terminal: tables, errors, warnings and help. What goes to files and pipes is
/// UTF-8.
#[test]
fn a_terminal_without_utf8_gets_ascii() {
    let lab = Lab::with(&TINY.replace("cibhash", "pcah\"\nlabel = \"PCAH × 2"));
    lab.ok(&["sweep", FILE, "--no-times"]);
    let on = |args: &str, locale: &str| {
        let variables = [("TERM", "xterm"), ("LC_ALL", locale), ("NO_COLOR", "1"), ("HASHLAB_RUN", "x")];
        on_terminal_with(&lab, args, &variables)
    };
    for args in ["table tiny", "compare tiny", "plan none.toml", "sweep --help", "eval", "sweep tiny.toml --rerun itq"]
    {
        let (plain, utf8) = (on(args, "C"), on(args, "C.UTF-8"));
        assert!(plain.is_ascii(), "{args}: {plain}");
        assert_eq!(plain.lines().count(), utf8.lines().count(), "{args}: {plain}\n{utf8}");
    }
    let table = on("table tiny", "C");
    assert!(table.contains("----") && table.contains(" +/- ") && table.contains("PCAH x 2"), "{table}");
    assert!(on("table tiny", "C.UTF-8").contains(" ± "));
    let mut piped = lab.command(&["table", NAME]);
    let piped = String::from_utf8(piped.env("LC_ALL", "C").output().unwrap().stdout).unwrap();
    assert!(piped.contains('━') && piped.contains(" ± "), "{piped}");
    assert!(lab.read("runs/sweeps/tiny/newest").is_ascii());
}
