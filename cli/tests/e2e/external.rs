//! Rows of codes that others computed.

use std::fs;

use candle_core::{Device, Tensor};

use crate::lab::{FILE, Lab, NAME, TINY};

/// [`TINY`] with a row of external codes.
fn with_row(lines: &str) -> String {
    format!("{TINY}\n[[external]]\n{lines}\n")
}

/// Codes of all 300 items, ±1.
fn all_items(rows: usize, bits: usize) -> Tensor {
    let sign = |at: usize| if (at * 7 + at / bits * 3) % 5 < 2 { 1.0f32 } else { -1.0 };
    Tensor::from_vec((0..rows * bits).map(sign).collect(), (rows, bits), &Device::Cpu).unwrap()
}

/// The codes of a method, exported and brought back, are measured as the method's own, and change none of its runs.
/// A text in one line, as its lines end where they are full.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn codes_that_were_exported_have_the_numbers_of_their_method() {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    lab.ok(&["encode", FILE, "--out", "codes"]);
    let runs = lab.runs();
    let itq = lab.runs_of("itq");
    for (seed, run) in itq.iter().enumerate() {
        for side in ["query", "database"] {
            let from = lab.path(&format!("codes/{}/{side}_codes.npy", run.id()));
            fs::copy(from, lab.path(&format!("itq_{seed}_{side}.npy"))).unwrap();
        }
    }
    lab.write(FILE, with_row("label = \"ITQ again\"\ncodes = \"itq_{seed}_{side}.npy\""));
    let table = lab.ok(&["sweep", FILE]);
    let ids: Vec<_> = lab.runs().iter().map(|run| run.id().clone()).collect();
    assert!(runs.iter().zip(&ids).all(|(before, now)| before.id() == now), "{ids:?}");
    let external = lab.runs_of("external");
    assert_eq!((external.len(), ids.len()), (2, runs.len() + 2));
    for (method, external) in itq.iter().zip(&external) {
        let (method, external) = (method.result().unwrap(), external.result().unwrap());
        assert_eq!(external.test, method.test);
    }
    let numbers = |label: &str| {
        let row = table.lines().find_map(|line| line.trim_start_matches([' ', '*', '+']).strip_prefix(label)).unwrap();
        row.trim_matches([' ', '*', '+']).to_owned()
    };
    assert_eq!(numbers("ITQ again (external codes)"), numbers("ITQ  "), "{table}");
    let fact = "ITQ again: computed elsewhere, measured here; itq_{seed}_{side}.npy (SHA-256, 16 bits: ";
    assert!(unwrapped(&table).contains(fact), "{table}");
    lab.ok(&["sweep", FILE]);
    assert!(lab.runs_of("external").iter().all(|run| run.attempts().len() == 1), "measured once");
    let latex = lab.ok(&["table", NAME, "--format", "latex"]);
    assert!(latex.contains("ITQ again (external codes)"), "{latex}");
    let compared = lab.ok(&["compare", NAME, "itq", "ITQ again (external codes)"]);
    assert!(compared.contains("+0.000"), "{compared}");
}

#[test]
fn codes_of_all_items_are_split_by_the_protocol() {
    let lab = Lab::with(&with_row("label = \"Made up\"\ncodes = \"all.npz.npy\"\nbits = [16]"));
    all_items(300, 16).write_npy(lab.path("all.npz.npy")).unwrap();
    let table = lab.ok(&["sweep", FILE]);
    let result = lab.runs_of("external")[0].result().unwrap();
    let [codes] = result.codes.values().collect::<Vec<_>>()[..] else { panic!("{result:#?}") };
    assert_eq!(codes.items, 300);
    assert!(table.contains("Made up (external codes)"), "{table}");
    assert!(unwrapped(&table).contains("without randomness, no deviation: Made up (external codes)"), "{table}");
    // Other codes in the same place are another run.
    let first = lab.runs_of("external")[0].id().clone();
    all_items(300, 16).neg().unwrap().write_npy(lab.path("all.npz.npy")).unwrap();
    assert_ne!(*lab.runs_of("external")[0].id(), first);
}

#[test]
fn mistakes_in_external_rows_are_named() {
    let lab = Lab::with(TINY);
    all_items(300, 16).write_npy(lab.path("all.npy")).unwrap();
    all_items(299, 16).write_npy(lab.path("short.npy")).unwrap();
    all_items(300, 8).write_npy(lab.path("narrow.npy")).unwrap();
    all_items(10, 16).write_npy(lab.path("few_query.npy")).unwrap();
    all_items(10, 16).write_npy(lab.path("few_database.npy")).unwrap();
    let refused = |lines: &str| {
        lab.write(FILE, with_row(lines));
        lab.refused(&["sweep", FILE])
    };
    let said = [
        refused("codes = \"all.npy\""),
        refused("label = \"A\""),
        refused("label = \"A\"\ncodes = \"none.npy\""),
        refused("label = \"A\"\ncodes = \"all_{bit}.npy\""),
        refused("label = \"A\"\ncodes = \"all_{side:query}.npy\""),
        refused("label = \"A\"\ncodes = \"all.npy\"\nbits = [16, 32]"),
        refused("label = \"A\"\ncodes = \"all_{modality}.npy\""),
        refused("label = \"A\"\ncodes = \"narrow.npy\""),
        refused("label = \"A\"\ncodes = \"all.npy\"\npath = \"b\""),
        refused("label = \"A\"\ncodes = \"short.npy\""),
        refused("label = \"A\"\ncodes = \"few_{side}.npy\""),
        lab.refused(&["sweep", FILE, "--set", "external=[]"]),
    ];
    insta::assert_snapshot!(said.join("\n"));
    let twice = refused("label = \"A\"\ncodes = \"all.npy\"\n[[external]]\nlabel = \"B\"\ncodes = \"all.npy\"");
    let rows = "rows `A (external codes)` and `B (external codes)` have the same codes (run external-b16-s0-";
    assert!(twice.contains(rows) && twice.contains("\nhelp: drop one of them"), "{twice}");
}
