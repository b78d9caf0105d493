//! Arrays that numpy and safetensors wrote (`tests/fixtures/arrays.py`), whole, in parts, cut off and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn fixture(name: &str) -> String {
    let arrays = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/arrays");
    arrays.join(name).to_str().unwrap().to_owned()
}

fn numbers(raw: &Raw) -> Vec<f32> {
    raw.0.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The array's definition in the fixtures' script.
fn expected() -> Vec<f32> {
    let sign = |row: usize, column: usize| if (row * 7 + column * column * 3) % 5 < 2 { 1.0 } else { -1.0 };
    (0..5).flat_map(|row| (0..16).map(move |column| sign(row, column))).collect()
}

const FORMS: [&str; 8] = [
    "float32.npy",
    "fortran.npy",
    "big_endian.npy",
    "int8_fortran.npy",
    "int8.npz",
    "compressed.npz#signs",
    "compressed.npz#fortran",
    "int8.safetensors",
];

#[test]
fn every_form_holds_the_same_array() {
    let codes = codes(&fixture(FORMS[0]), 16).unwrap();
    for form in FORMS {
        let raw = read(&fixture(form)).unwrap();
        assert_eq!((raw.shape(), numbers(&raw)), (&[5, 16][..], expected()), "{form}");
        assert_eq!(super::codes(&fixture(form), 16).unwrap(), codes, "{form}");
    }
}

#[test]
fn endings_are_read_in_either_case() {
    let folder = tempfile::tempdir().unwrap();
    for (form, ending) in [("float32.npy", "NPY"), ("int8.npz", "Npz")] {
        let path = folder.path().join(format!("a.{ending}"));
        fs::copy(fixture(form), &path).unwrap();
        assert_eq!(numbers(&read(path.to_str().unwrap()).unwrap()), expected(), "{ending}");
    }
}

#[test]
fn parts_are_rows_in_either_order_of_axes() {
    for form in FORMS.into_iter().filter(|form| form.ends_with(".npy")) {
        let path = fixture(form);
        let file = NpyFile::open(&path).unwrap();
        assert_eq!((file.rows(), file.shape()), (5, &[5, 16][..]));
        for (start, end) in [(0, 5), (0, 1), (2, 5), (4, 5)] {
            let part = file.read(&path, start..end).unwrap();
            assert_eq!(numbers(&part), expected()[start * 16..end * 16], "{form}, rows {start} to {end}");
        }
    }
}

/// A copy of a fixture that was changed.
struct Changed {
    folder: tempfile::TempDir,
    name: String,
    whole: Vec<u8>,
}

impl Changed {
    fn of(form: &str) -> Self {
        let whole = fs::read(file_of(&fixture(form))).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), name: form.to_owned(), whole }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// What a reader says of these bytes.
    fn refused(&self, bytes: &[u8]) -> String {
        let path = self.path();
        fs::write(file_of(path.to_str().unwrap()), bytes).unwrap();
        let error = read(path.to_str().unwrap()).map(|raw| raw.shape().to_vec()).unwrap_err().to_string();
        error.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

/// At whatever byte a copy or a download broke off, the message says that.
#[test]
fn files_that_are_cut_off_say_so() {
    for form in FORMS {
        let changed = Changed::of(form);
        for end in (1..changed.whole.len()).step_by(7) {
            let said = changed.refused(&changed.whole[..end]);
            let (first, help) = said.split_once("\nhelp: ").unwrap_or_else(|| panic!("{form}: {said}"));
            assert!(first.contains("cut off") || first.contains(": it is not "), "{form}, {end} bytes: {said}");
            assert!(!help.is_empty() && !said.contains("magic") && !said.contains("EOF"), "{form}: {said}");
        }
    }
    let changed = Changed::of("float32.npy");
    assert_eq!(
        changed.refused(&changed.whole[..200]),
        "float32.npy: it is cut off: 200 of 448 bytes are there\nhelp: copy or download it again"
    );
    let changed = Changed::of("int8.safetensors");
    assert!(changed.refused(&changed.whole[..100]).contains("it is cut off: 100 of 152 bytes are there"));
}

#[test]
fn archives_whose_bytes_changed_are_refused() {
    for (form, at) in [("int8.npz", 190), ("compressed.npz#signs", 120)] {
        let mut changed = Changed::of(form);
        changed.whole[at] ^= 1;
        let said = changed.refused(&changed.whole);
        assert!(said.contains("array `signs`: ") && said.contains("\nhelp: "), "{form}: {said}");
    }
}

/// A size that no file of this length has would fill the memory.
#[test]
fn sizes_that_the_file_cannot_hold_are_refused() {
    for shape in ["(1000000000, 3)", "(4294967296, 4294967296)", "(0, 4294967296, 4294967296)", "(7,)"] {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        let bytes =
            [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &[0; 24]];
        let said = Changed::of("float32.npy").refused(&bytes.concat());
        assert!(said.contains("it is cut off: ") && said.contains(" bytes are there"), "{said}");
    }
}

#[test]
fn what_is_no_array_of_numbers_is_named() {
    let here = Changed::of("float32.npy");
    let said = |bytes: &[u8]| here.refused(bytes);
    for (form, problem) in [
        ("complex.npy", "its values are complex numbers (`<c8` in numpy)\nhelp: readable are bool, "),
        ("texts.npy", "its values are texts (`<U2` in numpy)\nhelp: readable are "),
        ("objects.npy", "its values are Python objects, which may hold programs (`|O` in numpy)\nhelp: "),
        ("records.npy", "its items are records of several fields\nhelp: "),
        ("compressed.npz", "it holds several arrays: fortran, signs\nhelp: name one of them behind `#`"),
        ("int8.npz#none", "there is no array `none`, but signs\nhelp: name one of them behind `#`"),
    ] {
        let refused = Changed::of(form).refused(&fs::read(file_of(&fixture(form))).unwrap());
        assert!(refused.contains(&format!(": {problem}")), "{form}: {refused}");
    }
    for (bytes, problem) in [
        (&b""[..], "the file is empty\nhelp: copy or download it again"),
        (b"<!DOCTYPE html>", "but a web page or XML, e.g. of a download that was refused\nhelp: "),
        (b"version https://git-lfs.github.com/spec/v1", "but a pointer of Git LFS in the place of the file\nhelp: "),
        (b"\x80\x04\x95pickle", "but a Python pickle, which may hold programs and is not read\nhelp: "),
        (b"PK\x03\x04 of torch.save", "but a zip archive\nhelp: "),
        (b"1,2,3\n", "it is not an array of numpy (.npy): it begins with `1,2,3\\n`\nhelp: "),
    ] {
        assert!(said(bytes).contains(problem), "{problem}: {}", said(bytes));
    }
    let other = Changed::of("int8.npz").refused(&here.whole);
    assert!(other.contains("it is not an archive of numpy (.npz), but a .npy file\nhelp: "), "{other}");
    let other = Changed::of("int8.safetensors").refused(b"PK\x03\x04 of torch.save");
    assert!(other.contains("it is not a .safetensors file, but a zip archive\nhelp: "), "{other}");
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["npy", "npz", "safetensors", "mat", "h5", "txt"] {
        let path = folder.path().join(format!("pipe.{ending}"));
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let said = read(path.to_str().unwrap()).map(drop).unwrap_err().to_string();
        assert!(said.contains("this is a pipe\nhelp: name a file"), "{said}");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let said = read(path.to_str().unwrap()).map(drop).unwrap_err().to_string();
        assert!(said.contains("this is a directory\nhelp: name a file"), "{said}");
    }
}
