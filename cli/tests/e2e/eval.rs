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
    let value = csv.lines().find_map(|line| line.strip_prefix(",map_all_expected,,40,")).unwrap();
    let expected = json["metrics"].as_array().unwrap().iter().find(|m| m["name"] == "map_all_expected").unwrap();
    assert_eq!(value.split(',').next().unwrap().parse::<f64>().unwrap(), expected["value"].as_f64().unwrap());
}

/// numpy's int8, which many scripts save ±1 in.
fn write_int8(lab: &Lab, name: &str, shape: (usize, usize), values: impl Iterator<Item = i8>) {
    let header = format!("{{'descr': '|i1', 'fortran_order': False, 'shape': ({}, {}), }}", shape.0, shape.1);
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.map(i8::cast_unsigned));
    lab.write(name, bytes);
}

#[test]
fn codes_of_single_bytes_and_parts_give_the_same_table() {
    let lab = Lab::with(TINY);
    files(&lab);
    for (side, items) in [("q", 40), ("d", 200)] {
        let bits: Vec<u8> =
            Tensor::read_npy(lab.path(&format!("{side}_bits.npy"))).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let signs = bits.iter().map(|&bit| 2 * bit.cast_signed() - 1);
        write_int8(&lab, &format!("{side}_int8.npy"), (items, 16), signs);
    }
    let more = ["--k", "50", "--per-class", "--json"];
    let whole = lab.ok(&arguments(&of_kind("real"), &more));
    assert_eq!(lab.ok(&arguments(&of_kind("int8"), &more)), whole);
    for kind in ["real", "bits", "signs", "int8", "packed"] {
        let streamed = lab.ok(&arguments(&of_kind(kind), &[&more[..], &["--stream"]].concat()));
        assert_eq!(streamed, whole, "{kind}");
    }
    lab.write("d_real.npz", "no archive");
    let kind = ["q_real.npy".to_owned(), "d_real.npz".to_owned()];
    let message = lab.refused(&arguments(&kind, &["--stream"]));
    assert!(message.contains("d_real.npz cannot be read part by part\nhelp: "), "{message}");
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

/// Codes of the file of both modalities, `cli/tests/fixtures/toolkit.mat`, which scipy wrote.
fn toolkit_codes(items: usize, text: bool) -> Tensor {
    let bit = |item: usize, bit: usize| (item * 7 + bit * bit * 3 + (item % 3) * bit + usize::from(text)) % 5 < 2;
    let signs = (0..items).flat_map(|item| (0..16).map(move |at| if bit(item, at) { 1.0f32 } else { -1.0 }));
    Tensor::from_vec(signs.collect(), (items, 16), &Device::Cpu).unwrap()
}

#[test]
fn a_toolkits_file_of_both_modalities_is_measured_by_task() {
    let lab = Lab::with(TINY);
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/toolkit.mat");
    let both: Value = serde_json::from_str(&lab.ok(&["eval", fixture, "--json", "--k", "20"])).unwrap();
    for (side, items) in [("q", 12), ("d", 60)] {
        toolkit_codes(items, false).write_npy(lab.path(&format!("{side}_img.npy"))).unwrap();
        toolkit_codes(items, true).write_npy(lab.path(&format!("{side}_txt.npy"))).unwrap();
        let labels: Vec<i64> = (0..items as i64).map(|item| item % 3).collect();
        Tensor::from_vec(labels, items, &Device::Cpu).unwrap().write_npy(lab.path(&format!("{side}l.npy"))).unwrap();
    }
    for (task, query, database) in [("i2t", "q_img.npy", "d_txt.npy"), ("t2i", "q_txt.npy", "d_img.npy")] {
        let kind = [query.to_owned(), database.to_owned()];
        let alone: Value = serde_json::from_str(&lab.ok(&arguments(&kind, &["--json", "--k", "20"]))).unwrap();
        assert_eq!(both[task]["metrics"], alone["metrics"], "{task}");
    }
    let one = lab.ok(&["eval", fixture, "--task", "i2i", "--format", "csv"]);
    assert!(one.lines().skip(1).all(|line| line.starts_with("i2i,")), "{one}");
}

#[test]
fn wrong_inputs_are_named() {
    let lab = Lab::with(TINY);
    files(&lab);
    let write = |name: &str, tensor: Tensor| tensor.write_npy(lab.path(name)).unwrap();
    let mut values: Vec<f32> = (0..40 * 16).map(|at| (at as f32).sin()).collect();
    values[3 * 16 + 7] = f32::NAN;
    write("nan.npy", Tensor::from_vec(values, (40, 16), &Device::Cpu).unwrap());
    write("short.npy", Tensor::zeros((40, 8), candle_core::DType::F32, &Device::Cpu).unwrap());
    write("hot.npy", Tensor::from_vec((0..120u8).map(|at| at % 3).collect(), (40, 3), &Device::Cpu).unwrap());
    write("multi.npy", Tensor::from_vec((0..600u32).map(|at| at % 2).collect(), (200, 3), &Device::Cpu).unwrap());
    write("half.npy", Tensor::full(0.5f32, 40, &Device::Cpu).unwrap());
    lab.write("codes.txt", "no array");
    lab.write("broken.mat", "no MAT file");
    let [query, database] = of_kind("real");
    let with = |query: &str, database: &str, query_labels: &str, more: &[&str]| {
        let files = ["eval", "--query-codes", query, "--database-codes", database, "--query-labels", query_labels];
        lab.refused(&[&files[..], &["--database-labels", "dl.npy"], more].concat())
    };
    let codes = ["eval", "--query-codes", &query, "--database-codes", &database];
    let said = [
        with("none.npy", &database, "ql.npy", &[]),
        with("codes.txt", &database, "ql.npy", &[]),
        with("nan.npy", &database, "ql.npy", &[]),
        with("short.npy", &database, "ql.npy", &[]),
        with("ql.npy", &database, "ql.npy", &[]),
        with(&database, &database, "ql.npy", &[]),
        with(&query, &database, "hot.npy", &[]),
        lab.refused(&[&codes[..], &["--query-labels", "hot.npy", "--database-labels", "multi.npy"]].concat()),
        with(&query, &database, "half.npy", &[]),
        with(&query, &database, "ql.npy", &["--packed"]),
        with(&query, &database, "ql.npy", &["--k", "0"]),
        with(&query, &database, "ql.npy", &["--definition", "top"]),
        with(&query, &database, "ql.npy", &["--ranks", "10,0"]),
        lab.refused(&["eval", "broken.mat"]),
        lab.refused(&["eval", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/toolkit.mat#q_img")]),
        lab.refused(&["eval", "--query-codes", &query]),
    ];
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    insta::assert_snapshot!(said.join("\n").replace(root, "[tests]"));
}

/// Arrays that numpy wrote, in Fortran's order, of single signed bytes, compressed, with the highest byte first.
#[test]
fn arrays_of_every_form_have_the_same_table() {
    let lab = Lab::with(TINY);
    let arrays = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/tests/fixtures/arrays");
    let labels = Tensor::from_vec((0..5i64).map(|item| item % 2).collect(), 5, &Device::Cpu).unwrap();
    labels.write_npy(lab.path("l.npy")).unwrap();
    let eval = |codes: &str, more: &[&str]| {
        let codes = arrays.join(codes).display().to_string();
        let files = ["eval", "--query-codes", &codes, "--database-codes", &codes, "--query-labels", "l.npy"];
        lab.run(&[&files[..], &["--database-labels", "l.npy"], more].concat())
    };
    let expected = eval("float32.npy", &[]).stdout;
    assert!(expected.starts_with("5 queries, database of 5 items, 16 bits"), "{expected}");
    let forms = ["fortran.npy", "big_endian.npy", "int8_fortran.npy", "int8.npz", "compressed.npz#fortran"];
    for form in forms.into_iter().chain(["compressed.npz#signs", "int8.safetensors"]) {
        assert_eq!(eval(form, &[]).stdout, expected, "{form}");
        if form.ends_with(".npy") {
            assert_eq!(eval(form, &["--stream"]).stdout, expected, "{form}");
        }
    }
    for (form, said) in [
        ("complex.npy", "complex.npy: its values are complex numbers"),
        ("objects.npy", "objects.npy: its values are Python objects, which may hold programs"),
        (
            "compressed.npz",
            "compressed.npz: it holds several arrays: fortran, signs\nhelp: name one of them behind `#`",
        ),
    ] {
        let ended = eval(form, &[]);
        assert!(ended.code == Some(2) && ended.stderr.contains(said), "{form}: {ended:#?}");
    }
    // A copy that broke off.
    let whole = std::fs::read(arrays.join("float32.npy")).unwrap();
    lab.write("cut.npy", &whole[..300]);
    let files = ["--query-codes", "cut.npy", "--database-codes", "cut.npy", "--query-labels", "l.npy"];
    let said = lab.refused(&[&["eval"], &files[..], &["--database-labels", "l.npy"]].concat());
    assert_eq!(said, "error: cut.npy: it is cut off: 300 of 448 bytes are there\nhelp: copy or download it again\n");
}
