//! A sweep's runs for other tools. `just python-check` reads them with those tools.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::lab::{FILE, Lab, NAME, TINY};

fn lab() -> Lab {
    let lab = Lab::with(TINY);
    lab.ok(&["sweep", FILE]);
    lab
}

#[test]
fn a_table_of_runs_has_a_row_per_run_in_both_forms() {
    let lab = lab();
    assert_eq!(lab.ok(&["export", NAME, "--to", "csv", "--out", "runs.csv"]), "runs.csv: 6 runs\n");
    let text = lab.read("runs.csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers().unwrap().clone();
    assert_eq!(head.iter().take(6).collect::<Vec<_>>(), ["run", "label", "state", "method", "bits", "seed"]);
    for name in
        ["image.image_size", "train.epochs", "data.items", "test/i2i/map_at_k", "seconds.train", "provenance.device"]
    {
        assert!(head.iter().any(|known| known == name), "{name}: {head:?}");
    }
    let column = head.iter().position(|name| name == "test/i2i/map_at_k").unwrap();
    let maps: Vec<f64> = reader.records().map(|row| row.unwrap()[column].parse().unwrap()).collect();
    assert_eq!(maps.len(), 6);

    lab.ok(&["export", NAME, "--to", "parquet", "--out", "runs.parquet"]);
    let reader = SerializedFileReader::new(fs::File::open(lab.path("runs.parquet")).unwrap()).unwrap();
    let names: Vec<String> = reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    assert_eq!(names, head.iter().collect::<Vec<_>>());
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    let found = rows.iter().map(|row| match row.get_column_iter().nth(column).unwrap().1 {
        parquet::record::Field::Double(value) => *value,
        other => panic!("{other:?} is no number"),
    });
    assert_eq!(found.collect::<Vec<_>>(), maps);
}

#[test]
fn event_files_hold_whole_records() {
    let lab = lab();
    lab.ok(&["export", NAME, "--to", "tensorboard", "--out", "tb"]);
    let runs: Vec<_> = fs::read_dir(lab.path("tb")).unwrap().map(|run| run.unwrap().path()).collect();
    assert_eq!(runs.len(), 6);
    for run in runs {
        let file = fs::read_dir(&run).unwrap().next().unwrap().unwrap().path();
        assert!(file.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."), "{file:?}");
        let bytes = fs::read(&file).unwrap();
        let (mut at, mut records) = (0, 0);
        while at < bytes.len() {
            at += 16 + usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
            records += 1;
        }
        assert_eq!(at, bytes.len(), "{file:?}");
        assert!(records > 20, "{file:?} has {records} records");
    }
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let lab = lab();
    assert!(lab.refused(&["export", "tinny", "--to", "csv", "--out", "a.csv"]).contains("there is no sweep `tinny`"));
    assert!(lab.refused(&["export", NAME, "--to", "csv", "--out", "none/a.csv"]).contains("cannot write none/a.csv"));
    assert!(lab.refused(&["export", NAME, "--to", "mlflow", "--out", "a"]).contains("--url"));
    assert!(lab.refused(&["export", NAME, "--to", "csv", "--url", "http://127.0.0.1:1"]).contains("--out"));
    let nobody = lab.refused(&["export", NAME, "--to", "mlflow", "--url", "http://127.0.0.1:1"]);
    assert!(nobody.contains("Connection refused") && nobody.contains("mlflow server"), "{nobody}");
}

#[test]
fn what_a_server_says_of_a_refusal_is_told() {
    let lab = lab();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = r#"{"error_code": "PERMISSION_DENIED", "message": "ask the owner"}"#;
            let head = format!(
                "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
        }
    });
    let refused = lab.refused(&["export", NAME, "--to", "mlflow", "--url", &url]);
    assert!(refused.contains("answers 403: ask the owner"), "{refused}");
}
