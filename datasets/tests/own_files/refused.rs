//! Files and settings that are refused, each with what is wrong and what to do.

use std::fs;
use std::sync::Arc;

use parquet::data_type::Int64Type;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

use crate::{open, refused, refused_in};

#[test]
fn wrong_input_names_file_and_line_and_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
    file("short.txt", "a.png 1 0 0\nb.png 1 0\n");
    file("numbers.txt", "a.png 7\n");
    file("twice.txt", "a.png 1 0\nb.png 0 1\na.png 0 1\n");
    file("b.txt", "b.png 1 0\n");
    file("other.txt", "a.png 1 0\nb.png 0 1\n");
    file("empty.txt", "\n");
    file("ragged.csv", "file,kind\na.png,cat\nb.png\n");
    file("open.csv", "file,kind\na.png,cat\nb.png,\"dog\nc.png,cat\n");
    file("doubled.csv", "file,kind,kind\na.png,cat,dog\n");
    file("bad.jsonl", "{\"file\": \"a.png\", \"kind\": \"cat\"}\n{\"file\": 3}\n");
    file("not.parquet", "PAR1 but no more");
    let mut said = String::new();
    let mut case = |name: &str, settings: Value| said += &format!("{}\n\n", refused_in(name, settings, root.path()));
    let list = |file: &str| json!({"files": file, "queries": 1});
    case("image_list", list("short.txt"));
    case("image_list", list("numbers.txt"));
    case("image_list", list("twice.txt"));
    case("image_list", json!({"query": "b.txt", "database": "other.txt"}));
    case("image_list", list("empty.txt"));
    case("image_list", list("absent.txt"));
    case("image_list", json!({"files": "short.txt"}));
    let table = |file: &str| json!({"files": file, "image": "file", "labels": ["kind"], "queries": 1});
    case("table", table("ragged.csv"));
    case("table", table("open.csv"));
    case("table", table("doubled.csv"));
    case("table", table("bad.jsonl"));
    case("table", json!({"files": "ragged.csv", "image": "path", "labels": ["kind"], "queries": 1}));
    case("table", table("short.txt"));
    case("parquet", json!({"files": "not.parquet", "image": "image", "labels": ["label"], "queries": 1}));
    fs::create_dir(root.path().join("photos")).unwrap();
    case("image_folder", json!({"dir": "photos", "queries": 1}));
    case("image_folder", json!({"queries": 1}));
    insta::assert_snapshot!(said.replace(&root.path().display().to_string(), "FOLDER"));
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let with = |extra: Value| {
        let mut settings = json!({"files": "hub-*.parquet", "image": "image", "labels": ["label"], "queries": 8});
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        refused("parquet", settings)
    };
    let split = |extra: Value| {
        let mut settings = json!({"files": "hub-*.parquet", "image": "image", "labels": ["label"]});
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        open("parquet", settings).split("split", 0).unwrap_err().to_string()
    };
    let said = [
        split(json!({"queries": 41})),
        split(json!({"queries": 11, "per_class": true})),
        with(json!({"image": "picture"})),
        with(json!({"image": "title"})),
        with(json!({"captions": ["label"]})),
        with(json!({"labels": ["score"]})),
        with(json!({"labels": ["image"]})),
        with(json!({"labels": ["title"], "label_form": "hot"})),
        with(json!({"labels": []})),
        with(json!({"queries": 0.5, "per_class": true})),
    ];
    insta::assert_snapshot!(said.join("\n\n"));
}

/// The bits of all items for all classes would take half a gigabyte; those of a million captions 125.
#[test]
fn a_column_of_too_many_classes_is_refused_before_memory_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let rows: String = (0..65_537).map(|row| format!("text {row},class {row}\n")).collect();
    fs::write(root.path().join("all.csv"), format!("text,kind\n{rows}")).unwrap();
    let settings = json!({"files": "all.csv", "captions": ["text"], "labels": ["kind"], "queries": 4});
    assert_eq!(
        refused_in("table", settings, root.path()),
        "65537 classes, of at most 65536\nhelp: name another label column in [data]"
    );
    assert!(peak_mib() < 400, "{} MiB were taken", peak_mib());
}

/// The most memory that this process had at once, in MiB; 0 where the system does not say.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.unwrap_or(0u64) / 1024
}

/// A row group that claims more rows than its columns hold: reading on without an end would fill the memory.
#[test]
fn a_parquet_file_with_fewer_rows_than_it_claims_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.parquet");
    let schema = Arc::new(parse_message_type("message m { required int64 label; }").unwrap());
    let mut writer = SerializedFileWriter::new(fs::File::create(&path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1; 70_001], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let settings = json!({"files": "a.parquet", "labels": ["label"], "queries": 4, "captions": ["label"]});
    assert!(refused_in("parquet", settings.clone(), root.path()).contains("where a caption is expected"));

    // The last of these numbers in the file is the one of the group: 70,001 becomes 1,048,575, as zigzag varints.
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(3).rposition(|window| window == [0xe2, 0xc5, 0x08]).unwrap();
    bytes[at..at + 3].copy_from_slice(&[0xfe, 0xff, 0x7f]);
    fs::write(&path, bytes).unwrap();
    let refused = refused_in("parquet", settings, root.path());
    assert!(refused.starts_with("a.parquet: row group 0 has 70001 of 1048575 rows\nhelp: "), "{refused}");
}
