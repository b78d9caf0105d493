//! Sweeps over images and texts: features of one's own, tasks, several encodings of one training.

use crate::lab::{FILE, Lab, NAME};

const ITEMS: usize = 200;

/// Methods for images and texts on small networks; CVH has four bits per class.
pub(crate) const PAIRS: &str = r#"dataset = "features"
bits = [8]
seeds = [0]

[data]
image = "image.npy"
text = "text.npy"
labels = "labels.npy"
queries = 40

[train]
epochs = 6
batch_size = 32
validate_every = 3

[eval]
map_at = 50

[[method]]
name = "cvh"

[[method]]
name = "djsrh"
params = { hidden = 32 }

[[method]]
name = "ucmfh"
params = { width = 16, feedforward = 32, hidden = 64, head_learning_rate = 0.005, fusion_learning_rate = 0.001 }

[[method]]
name = "bert_resnet"
params = { width = 32 }
train = { learning_rate = 0.005 }
"#;

/// A .npy file of little-endian values of the type `kind`.
fn npy(kind: &str, shape: &str, values: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let padding = 64 - (10 + header.len() + 1) % 64;
    let header = format!("{header}{}\n", " ".repeat(padding));
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let values: Vec<u8> = values.flatten().collect();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), &values].concat()
}

/// Five classes, and items that lie around their centre in both modalities.
pub(crate) fn lab(experiment: &str) -> Lab {
    let lab = Lab::with(experiment);
    for (name, dim) in [("image", 12), ("text", 9)] {
        let value = |at: usize| {
            let (item, column) = (at / dim, at % dim);
            let centre = ((item % 5 * 7 + column * 3 + dim) as f32).sin();
            let noise = ((item * 131 + column * 17 + dim) as f32 * 12.9898).sin();
            (2.0 * centre + noise).to_le_bytes().to_vec()
        };
        lab.write(&format!("{name}.npy"), npy("<f4", &format!("({ITEMS}, {dim})"), (0..ITEMS * dim).map(value)));
    }
    let labels = (0..ITEMS).map(|item| ((item % 5) as i64).to_le_bytes().to_vec());
    lab.write("labels.npy", npy("<i8", &format!("({ITEMS},)"), labels));
    lab
}

/// The numbers of a row of the primary metric's table.
fn row(table: &str, label: &str) -> Vec<f64> {
    let line = table.lines().find(|line| line.trim_start().starts_with(&format!("{label} ")));
    let line = line.unwrap_or_else(|| panic!("no row {label}: {table}"));
    let cells = line.trim_start().strip_prefix(label).unwrap().split_whitespace();
    cells.filter_map(|cell| cell.trim_start_matches(['*', '+']).parse().ok()).collect()
}

#[test]
fn every_encoding_of_one_training_has_a_row_and_all_methods_learn() {
    let lab = lab(PAIRS);
    let table = lab.ok(&["sweep", FILE]);
    for label in ["CVH", "DJSRH", "UCMFH (mean)", "UCMFH (paired)", "BERT-ResNet hash"] {
        let found = row(&table, label);
        assert_eq!(found.len(), 2, "{label}: I→T and T→I: {table}");
        assert!(found.iter().all(|map| *map > 0.4), "{label}, where chance is .2: {table}");
    }
    assert!(table.contains("rows with a name in parentheses"), "{table}");
    // Four runs, five rows.
    assert_eq!(lab.ok(&["plan", FILE]).matches("-b8-s0-").count(), 4);
    let json = lab.ok(&["table", NAME, "--format", "json"]);
    assert_eq!(json.matches("\"label\": ").count(), 5, "{json}");
}

#[test]
fn the_encoding_that_selects_comes_first_and_its_partner_is_the_other() {
    let lab = lab(&PAIRS.replace("params = { width = 16", "params = { input = \"paired\", width = 16"));
    let table = lab.ok(&["sweep", FILE]);
    let at = |label: &str| table.find(&format!(" {label} ")).unwrap_or_else(|| panic!("no row {label}: {table}"));
    assert!(at("UCMFH (paired)") < at("UCMFH (mean)"), "{table}");
}
