//! Codes from files, whoever made them.

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::lab::{FILE, Lab, TINY};

/// Writes codes of 40 queries and 200 items in three classes as real values, and their labels.
fn files(lab: &Lab) {
    for (side, items) in [("q", 40usize), ("d", 200)] {
        let value = |item: usize, bit: usize| ((item * 7 + bit * bit * 3 + (item % 3) * bit) as f32 * 0.37).sin();
        let values: Vec<f32> = (0..items).flat_map(|item| (0..16).map(move |bit| value(item, bit))).collect();
        let write = |name: &str, tensor: Tensor| tensor.write_npy(lab.path(&format!("{side}{name}.npy"))).unwrap();
        let bits: Vec<u8> = values.iter().map(|&value| u8::from(value >= 0.0)).collect();
        let packed: Vec<u8> = bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
        let signs: Vec<f32> = bits.iter().map(|&bit| 2.0 * f32::from(bit) - 1.0).collect();
        let array = |values: Vec<u8>, columns| Tensor::from_vec(values, (items, columns), &Device::Cpu).unwrap();
        write("_real", Tensor::from_vec(values, (items, 16), &Device::Cpu).unwrap());
        write("_bits", array(bits, 16));
        write("_packed", array(packed, 2));
        write("_signs", Tensor::from_vec(signs, (items, 16), &Device::Cpu).unwrap());
        let labels: Vec<i64> = (0..items as i64).map(|item| item % 3).collect();
        write("l", Tensor::from_vec(labels, items, &Device::Cpu).unwrap());
    }
}

fn arguments<'a>(kind: &'a [String; 2], more: &[&'a str]) -> Vec<&'a str> {
    let [query, database] = kind;
    let codes = ["eval", "--query-codes", query, "--database-codes", database];
    [&codes[..], &["--query-labels", "ql.npy", "--database-labels", "dl.npy"], more].concat()
}

fn of_kind(kind: &str) -> [String; 2] {
    [format!("q_{kind}.npy"), format!("d_{kind}.npy")]
}

#[test]
fn every_way_to_write_codes_gives_the_same_table() {
    let lab = Lab::with(TINY);
    files(&lab);
    let table = |kind: &str| lab.ok(&arguments(&of_kind(kind), &["--k", "50", "--bootstrap", "200", "--per-class"]));
    let real = table("real");
    for kind in ["bits", "packed", "signs"] {
        assert_eq!(table(kind), real, "{kind}");
    }
    assert!(real.starts_with("40 queries, database of 200 items, 16 bits, K = 50\n"), "{real}");
    for part in ["mAP@50 over min(50, relevant)", "200 resamples, seed 0", "Definitions", "mAP@50 by class"] {
        assert!(real.contains(part), "{part}: {real}");
    }
}

#[test]
fn json_and_csv_hold_what_the_table_prints() {
    let lab = Lab::with(TINY);
    files(&lab);
    let json =
        lab.ok(&arguments(&of_kind("real"), &["--format", "json", "--definition", "min_divisor", "--radius", "3"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["metrics"][0]["name"], "map_at_k_min_divisor");
    assert_eq!(json["per_query"]["precision_radius3"].as_array().unwrap().len(), 40);
    assert_eq!(json["curves"]["radius_recall"].as_array().unwrap().len(), 17);
    let csv = lab.ok(&arguments(&of_kind("real"), &["--format", "csv"]));
    let value = csv.lines().find_map(|line| line.strip_prefix("map_all_expected,,40,")).unwrap();
    let expected = json["metrics"].as_array().unwrap().iter().find(|m| m["name"] == "map_all_expected").unwrap();
    assert_eq!(value.split(',').next().unwrap().parse::<f64>().unwrap(), expected["value"].as_f64().unwrap());
}

#[test]
fn real_queries_rank_binary_codes() {
    let lab = Lab::with(TINY);
    files(&lab);
    let kind = ["q_real.npy".to_owned(), "d_packed.npy".to_owned()];
    let text = lab.ok(&arguments(&kind, &["--asymmetric"]));
    assert!(text.contains("(asymmetric distance, database position)") && !text.contains("radius"), "{text}");
}

#[test]
fn files_that_do_not_fit_are_named() {
    let lab = Lab::with(TINY);
    files(&lab);
    let refused = |arguments: &[&str]| lab.refused(arguments);
    let [real, packed] = [of_kind("real"), of_kind("packed")];
    let mixed = [real[0].clone(), "ql.npy".to_owned()];
    let message = refused(&arguments(&mixed, &[]));
    assert!(message.contains("ql.npy: an array of shape [40], expected (items, bits)"), "{message}");
    let message = refused(&arguments(&[packed[0].clone(), packed[0].clone()], &[]));
    assert!(message.contains("q_packed.npy has codes of 40 items, dl.npy labels of 200"), "{message}");
    lab.write("short.txt", "no array");
    let message = refused(&arguments(&["short.txt".to_owned(), real[1].clone()], &[]));
    assert!(message.contains("short.txt") && message.contains("help:"), "{message}");
    let message = refused(&arguments(&["none.npy".to_owned(), real[1].clone()], &[]));
    assert!(message.contains("none.npy"), "{message}");
}

/// A model that was kept encodes what its run encoded.
#[test]
fn codes_of_kept_models_have_the_map_of_their_runs() {
    let lab = Lab::with(TINY);
    let without = lab.refused(&["encode", FILE, "--out", "codes"]);
    assert!(without.contains("no run of the experiment has a model\nhelp: "), "{without}");
    lab.ok(&["sweep", FILE]);
    lab.ok(&["encode", FILE, "--out", "codes"]);
    for run in lab.runs() {
        let [qc, dc, ql, dl] = ["query_codes", "database_codes", "query_labels", "database_labels"]
            .map(|name| format!("codes/{}/{name}.npy", run.id()));
        let files = ["--query-codes", &qc, "--database-codes", &dc, "--query-labels", &ql, "--database-labels", &dl];
        let json = lab.ok(&[&["eval", "--packed", "--k", "1000", "--format", "json"][..], &files].concat());
        let json: Value = serde_json::from_str(&json).unwrap();
        let result = run.result().unwrap();
        let metrics = &result.test.values().next().unwrap().metrics;
        for metric in json["metrics"].as_array().unwrap() {
            if let Some(expected) = metrics.get(metric["name"].as_str().unwrap()) {
                assert_eq!(metric["value"].as_f64().unwrap(), *expected, "{} of {}", metric["name"], run.id());
            }
        }
    }
    let unknown = lab.refused(&["encode", FILE, "--out", "codes", "--run", "itq"]);
    assert!(unknown.contains("the experiment has no run `itq`"), "{unknown}");
    let id = lab.runs_of("itq")[0].id().to_string();
    lab.ok(&["sweep", FILE, "--keep", "none", "--rerun", "itq"]);
    let gone = lab.refused(&["encode", FILE, "--out", "codes", "--run", &id]);
    assert!(gone.contains("has no model\nhelp: `sweep FILE --keep all --rerun itq`"), "{gone}");
}
