//! Files without readable text.

use std::fs;
use std::path::Path;

use hashlab_sweep::{ReadError, read_file};

#[test]
fn a_text_is_read_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.toml");
    fs::write(&path, "\u{feff}bits = [16]\r\n# é").expect("written");
    assert_eq!(read_file(&path).expect("a text"), "\u{feff}bits = [16]\r\n# é");
}

#[test]
fn what_is_no_file_is_named() {
    let said = |path: &str| read_file(Path::new(path)).expect_err("no file").to_string();
    assert_eq!(said("/dev/null"), "/dev/null is a device\nhelp: name a file");
    assert_eq!(said("/"), "/ is a directory\nhelp: name an experiment file in it");
}

#[test]
fn another_encoding_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.toml");
    let utf16 = |mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
        let units = "bits = [16]".encode_utf16().flat_map(bytes);
        mark.iter().copied().chain(units).collect::<Vec<u8>>()
    };
    let cases = [
        (b"# caf\xe9\n".to_vec(), 5, "Latin-1 (ISO 8859-1, Windows-1252)"),
        (utf16(&[0xFF, 0xFE], u16::to_le_bytes), 0, "UTF-16 (little endian)"),
        (utf16(&[], u16::to_le_bytes), 1, "UTF-16 (little endian)"),
        (utf16(&[0xFE, 0xFF], u16::to_be_bytes), 0, "UTF-16 (big endian)"),
        (utf16(&[], u16::to_be_bytes), 0, "UTF-16 (big endian)"),
    ];
    for (bytes, at, name) in cases {
        fs::write(&path, bytes).expect("written");
        let error = read_file(&path).expect_err("no UTF-8");
        assert!(
            matches!(&error, ReadError::NotUtf8 { offset, encoding, .. } if *offset == at && *encoding == name),
            "{error}"
        );
        let expected =
            format!("a.toml is not UTF-8: byte {at} and what follows look like {name}\nhelp: save it as UTF-8");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

#[test]
fn a_directory_is_no_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = read_file(dir.path()).expect_err("a directory");
    let expected = format!("{} is a directory\nhelp: name an experiment file in it", dir.path().display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_missing_file_is_compared_with_those_that_are_there() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("cifar10.toml"), "").expect("written");
    for name in ["cifar10", "cifar1.toml", "cifra10.toml"] {
        let error = read_file(&dir.path().join(name)).expect_err("missing").to_string();
        let (path, file) = (dir.path().join(name), dir.path().join("cifar10.toml"));
        let expected = format!("there is no file {}\nhelp: did you mean {}?", path.display(), file.display());
        assert_eq!(error, expected);
    }
    for path in [dir.path().join("other.toml"), dir.path().join("no/cifar10.toml"), dir.path().join("cifar10.toml/x")] {
        assert!(matches!(read_file(&path), Err(ReadError::Missing { nearest: None, .. })), "{}", path.display());
    }
}
