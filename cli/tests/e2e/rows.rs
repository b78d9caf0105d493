//! Rows of a table, and what is said of each.

use crate::lab::{FILE, Lab, NAME, TINY};

/// [`TINY`] with other methods.
fn with_methods(methods: &str) -> Lab {
    let (shared, _) = TINY.split_once("[[method]]").expect("methods come last");
    Lab::with(
        &(shared.replace("epochs = 8", "epochs = 4").replace("validate_every = 4", "validate_every = 2") + methods),
    )
}

/// The lines of a fact above the tables, on one line.
fn fact(table: &str, name: &str) -> String {
    let mut lines = table.lines().skip_while(|line| !line.starts_with(&format!("  {name} ")));
    let first = lines.next().unwrap_or_else(|| panic!("no fact {name} in {table}"));
    let more = lines.take_while(|line| line.starts_with(&" ".repeat(12)));
    let words = [first].into_iter().chain(more).flat_map(str::split_whitespace);
    words.skip(1).collect::<Vec<_>>().join(" ")
}

/// Lines of a table's text that begin with a label.
fn rows<'t>(text: &'t str, label: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.strip_prefix(' ').is_some_and(|line| line.starts_with(label))).collect()
}

#[test]
fn settings_of_one_row_are_told_apart_by_what_differs() {
    let lab = with_methods(
        "[[method]]\nname = \"cibhash\"\nparams = { tau = 0.1 }\n\
         [[method]]\nname = \"cibhash\"\nparams = { tau = 0.9 }\n\
         [[method]]\nname = \"lsh\"\n\
         [[method]]\nname = \"lsh\"\nimage = { image_size = 32 }\n",
    );
    let plan = lab.ok(&["plan", FILE]);
    for point in ["tau=0.1", "tau=0.9", "image.image_size=16", "image.image_size=32"] {
        assert_eq!(plan.lines().filter(|line| line.ends_with(point)).count(), 2, "{point} in {plan}");
    }
    let best = lab.ok(&["sweep", FILE, "--no-times"]);
    assert!(best.contains("\nSelected\n  CIBHash, 16 bits: tau=0."), "{best}");
    assert!(best.contains("\n  LSH, 16 bits: image.image_size="), "{best}");
    let all = lab.ok(&["table", NAME, "--all", "--no-times"]);
    for (label, points) in
        [("CIBHash", ["tau=0.1", "tau=0.9"]), ("LSH", ["image.image_size=16", "image.image_size=32"])]
    {
        let rows = rows(&all, label);
        assert_eq!(rows.len(), 2, "{all}");
        assert!(rows.iter().zip(points).all(|(row, point)| row.contains(point)), "{all}");
    }
    let encoder = fact(&all, "encoder");
    assert!(encoder.contains("16 px") && encoder.contains("32 px"), "{encoder}");
    for line in lab.ok(&["table", NAME, "--all", "--format", "csv"]).lines().skip(1) {
        assert!(line.contains(r#"{""tau"":0."#) || line.contains(r#"{""image.image_size"":"#), "{line}");
    }
}

#[test]
fn a_method_without_chance_runs_once_and_has_no_deviation() {
    let lab = with_methods("[[method]]\nname = \"pcah\"\n[[method]]\nname = \"lsh\"\n");
    assert_eq!((lab.runs_of("pcah").len(), lab.runs_of("lsh").len()), (1, 2));
    let table = lab.ok(&["sweep", FILE, "--no-times"]);
    let (pcah, lsh) = (rows(&table, "PCAH"), rows(&table, "LSH"));
    assert!(pcah.len() == 2 && pcah.iter().all(|row| !row.contains('±') && !row.contains('/')), "{table}");
    assert!(lsh.len() == 2 && lsh.iter().all(|row| row.contains(" ± ")), "{table}");
    let cells = fact(&table, "cells");
    assert!(
        cells.contains("n = 2 seeds (0, 1)") && cells.ends_with("without randomness, no deviation: PCAH"),
        "{cells}"
    );
}

#[test]
fn the_epoch_is_selected_as_each_row_says() {
    let methods = "[[method]]\nname = \"lsh\"\n\
                   [[method]]\nname = \"cibhash\"\n\
                   [[method]]\nname = \"nsh\"\ntrain = { select = \"last\" }\n";
    let lab = with_methods(methods);
    let table = lab.ok(&["sweep", FILE]);
    assert_eq!(fact(&table, "selection"), "epoch: CIBHash: best validation mAP@all; NSH: last");
    let epochs = |method: &str| lab.runs_of(method).iter().map(|run| run.result().unwrap().epoch).collect::<Vec<_>>();
    assert_eq!((epochs("nsh"), epochs("lsh")), (vec![Some(4); 2], vec![None; 2]));
}

/// Their ranking is that of ties, whatever its number.
#[test]
fn codes_that_collapsed_in_training_are_flagged_everywhere() {
    let lab =
        with_methods("[[method]]\nname = \"hashnet\"\ntrain = { learning_rate = 10.0 }\n[[method]]\nname = \"lsh\"\n");
    let ended = lab.run(&["sweep", FILE, "--no-times"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let table = ended.stdout;
    let warning = fact(&table, "warning");
    assert!(warning.starts_with("collapsed codes: HashNet, 16 bits, seeds 0, 1: one code for "), "{warning}");
    let (hashnet, lsh) = (rows(&table, "HashNet"), rows(&table, "LSH"));
    assert!(hashnet.len() == 2 && hashnet.iter().all(|row| row.ends_with(" †")), "{table}");
    assert!(lsh.len() == 2 && lsh.iter().all(|row| !row.contains('†')), "{table}");
    assert!(table.contains("† collapsed codes, see the warnings"), "{table}");
    for format in ["markdown", "latex"] {
        assert!(lab.ok(&["table", NAME, "--format", format]).contains("collapsed codes: HashNet"), "{format}");
    }
    let csv = lab.ok(&["table", NAME, "--format", "csv"]);
    assert_eq!(csv.lines().filter(|line| line.contains(",complete,collapsed,")).count(), 1, "{csv}");
    for run in lab.runs_of("hashnet") {
        let log = std::fs::read_to_string(run.log_path()).unwrap();
        assert!(log.contains(" collapsed: ") && log.contains("its ranking is that of ties"), "{log}");
    }
}
