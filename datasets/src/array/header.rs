//! The description at the start of a .npy array: type, order and shape.

use std::io::{ErrorKind, Read};

use candle_core::Tensor;

use super::element::{Element, READABLE};
use super::foreign;

/// The longest description that is read; numpy's are below a kilobyte.
const LONGEST: usize = 1 << 16;

/// How every .npy file begins.
const START: &[u8] = b"\x93NUMPY";

/// What is wrong with an array, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) what: String,
    pub(super) help: &'static str,
}

impl Problem {
    /// A problem of what the bytes say, for which the array is written again.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: "write the array again, with numpy.save" }
    }

    /// A problem of the values' type.
    pub(super) fn of_type(what: String) -> Self {
        Self { what, help: READABLE }
    }

    /// A file or array that ends early.
    pub(super) fn cut(bytes: u64, of: u64) -> Self {
        Self { what: format!("it is cut off: {bytes} of {of} bytes are there"), help: "copy or download it again" }
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self { what: format!("it cannot be read: {error}"), help: "copy or download it again" }
    }
}

/// What a .npy array says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Where its values start.
    pub(super) start: u64,
    pub(super) element: Element,
    /// Whether the first axis runs fastest, as in Fortran.
    pub(super) fortran: bool,
    pub(super) shape: Vec<usize>,
}

impl Header {
    /// Reads the description from the array's start.
    ///
    /// # Errors
    /// If the bytes are not those of a .npy array, or its values are no numbers.
    pub(super) fn read(from: &mut impl Read) -> Result<Self, Problem> {
        let mut begun = Vec::new();
        from.by_ref().take(8).read_to_end(&mut begun)?;
        if !begun.starts_with(START) {
            return Err(foreign::problem(&begun, "an array of numpy (.npy)"));
        }
        let ended = |error: std::io::Error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                Problem { what: "it is cut off within its first lines".into(), ..Problem::cut(0, 0) }
            }
            _ => error.into(),
        };
        // The length of the description takes two bytes, from version 2 on four.
        let width = match begun.get(6) {
            None => return Err(ended(ErrorKind::UnexpectedEof.into())),
            Some(1) => 2,
            Some(2 | 3) => 4,
            Some(version) => {
                return Err(Problem::new(format!("it has version {version} of the format, known are 1 to 3")));
            }
        };
        let mut length = [0; 4];
        from.read_exact(&mut length[..width]).map_err(ended)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(Problem::new(format!(
                "its first bytes are damaged: they announce a description of {length} bytes"
            )));
        }
        let mut text = vec![0; length];
        from.read_exact(&mut text).map_err(ended)?;
        Self::parse(&String::from_utf8_lossy(&text), (8 + width + length) as u64)
    }

    /// Reads a description, e.g. `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
    fn parse(text: &str, start: u64) -> Result<Self, Problem> {
        let damaged = |what: &str| Problem::new(format!("its description is damaged: {what} in `{}`", text.trim_end()));
        let value = |key: &str| {
            let found = text.split_once(&format!("'{key}':")).map(|(_, value)| value.trim_start());
            found.ok_or_else(|| damaged(&format!("no `{key}`")))
        };
        let name = value("descr")?;
        if name.starts_with('[') {
            return Err(Problem::of_type("its items are records of several fields".to_owned()));
        }
        let name = name.strip_prefix('\'').and_then(|name| name.split_once('\'')).ok_or_else(|| damaged("no type"))?.0;
        let fortran = match value("fortran_order")? {
            order if order.starts_with("True") => true,
            order if order.starts_with("False") => false,
            _ => return Err(damaged("no order of axes")),
        };
        let sizes = value("shape")?.strip_prefix('(').and_then(|sizes| sizes.split_once(')'));
        let (sizes, _) = sizes.ok_or_else(|| damaged("no shape"))?;
        let sizes = sizes.split(',').map(|size| size.trim().trim_end_matches('L')).filter(|size| !size.is_empty());
        let shape =
            sizes.map(str::parse).collect::<Result<Vec<usize>, _>>().map_err(|_| damaged("no whole numbers"))?;
        let element = Element::of_numpy(name).map_err(Problem::of_type)?;
        Ok(Self { start, element, fortran, shape })
    }

    /// Bytes of the values, checked against those that are there: a size that is stated would fill the memory.
    ///
    /// # Errors
    /// If there are fewer.
    pub(super) fn bytes_of(&self, there: u64) -> Result<usize, Problem> {
        // Without values, the product of the sizes must be a number, too.
        let mut sizes = self.shape.iter().map(|&size| size.max(1)).chain([self.element.bytes()]);
        let stated = sizes.try_fold(1u64, |all, size| all.checked_mul(size as u64)).unwrap_or(u64::MAX);
        let stated = if stated < u64::MAX && self.shape.contains(&0) { 0 } else { stated };
        match usize::try_from(stated) {
            Ok(bytes) if stated <= there => Ok(bytes),
            _ => Err(Problem::cut(self.start.saturating_add(there), self.start.saturating_add(stated))),
        }
    }

    /// The array of these rows, of the first axis, from their bytes.
    ///
    /// # Errors
    /// If a value has no place in the tensor's type.
    pub(super) fn tensor(&self, rows: usize, bytes: Vec<u8>) -> Result<Tensor, Problem> {
        let mut shape = self.shape.clone();
        shape.iter_mut().take(1).for_each(|first| *first = rows);
        if !self.fortran {
            return self.element.tensor(bytes, &shape).map_err(Problem::new);
        }
        shape.reverse();
        let reversed = self.element.tensor(bytes, &shape).map_err(Problem::new)?;
        let axes: Vec<usize> = (0..shape.len()).rev().collect();
        reversed.permute(axes).and_then(|tensor| tensor.contiguous()).map_err(|error| Problem::new(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file of a description, by version.
    fn file(version: u8, text: &str) -> Vec<u8> {
        let mut bytes = [START, &[version, 0]].concat();
        let length = (text.len() as u32).to_le_bytes();
        bytes.extend(if version == 1 { &length[..2] } else { &length[..] });
        bytes.extend(text.bytes());
        bytes
    }

    fn read(mut bytes: &[u8]) -> Result<Header, String> {
        Header::read(&mut bytes).map_err(|problem| problem.what)
    }

    #[test]
    fn descriptions_of_all_versions_and_writers_are_read() {
        let element = Element::of_numpy("<f4").unwrap();
        let text = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }      \n";
        for version in [1, 2, 3] {
            let header = read(&file(version, text)).unwrap();
            let start = file(version, text).len() as u64;
            assert_eq!(header, Header { start, element, fortran: true, shape: vec![2, 3] });
        }
        let of = |shape: &str| {
            read(&file(1, &format!("{{'shape': {shape}, 'fortran_order': False, 'descr': '<f4'}}"))).unwrap().shape
        };
        assert_eq!((of("()"), of("(5,)"), of("(5L, 2L)")), (vec![], vec![5], vec![5, 2]));
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let with = |text: &str| read(&file(1, text)).unwrap_err();
        assert!(with("{'descr': '<f4', 'fortran_order': False}").contains("no `shape` in `{'descr'"));
        assert!(with("{'descr': '<f4', 'fortran_order': 2, 'shape': (1,)}").contains("no order of axes"));
        assert!(with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}").contains("several fields"));
        assert!(with("{'descr': '<f4', 'fortran_order': False, 'shape': (x,)}").contains("no whole numbers"));
        assert!(read(&file(7, "")).unwrap_err().contains("version 7"));
        let whole = file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}");
        for end in 6..whole.len() {
            assert_eq!(read(&whole[..end]).unwrap_err(), "it is cut off within its first lines", "{end} bytes");
        }
        assert_eq!(read(b"").unwrap_err(), "the file is empty");
    }
}
