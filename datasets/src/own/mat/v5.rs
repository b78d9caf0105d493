//! Files of versions 5, 6 and 7, as MATLAB and SciPy write them.
//!
//! The format is that of MathWorks' "MAT-File Format". Not read: other byte orders, complex and sparse arrays, structures,
//! objects.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::{Array, DEEPEST, Each, rows_of};

/// Passes over the variables of a file until `each` returns true.
pub(super) fn scan(bytes: &[u8], each: Each<'_>) -> Result<(), String> {
    const HEADER: usize = 128;
    match bytes.get(HEADER - 4..HEADER) {
        Some([_, 1, b'I', b'M']) => {}
        Some([1, _, b'M', b'I']) => return Err("its numbers have their most significant byte first".to_owned()),
        _ => return Err("this is no file of MATLAB".to_owned()),
    }
    let mut rest = &bytes[HEADER..];
    while !rest.is_empty() {
        let element = Element::take(&mut rest)?;
        let unpacked;
        let matrix = match element.kind {
            COMPRESSED => {
                unpacked = inflated(element.data)?;
                Element::take(&mut unpacked.as_slice())?.data
            }
            MATRIX => element.data,
            _ => continue,
        };
        let (name, matrix) = Matrix::parse(matrix)?;
        if each(name, Box::new(move || matrix.array(0)))? {
            return Ok(());
        }
    }
    Ok(())
}

fn inflated(data: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(data).read_to_end(&mut bytes).map_err(|error| format!("it cannot be decompressed: {error}"))?;
    Ok(bytes)
}

const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// A part of the file: its type and its bytes.
struct Element<'a> {
    kind: u32,
    data: &'a [u8],
}

impl<'a> Element<'a> {
    /// Takes the first element off.
    fn take(rest: &mut &'a [u8]) -> Result<Self, String> {
        let cut = || "the file ends within a variable".to_owned();
        let word = |at: usize| rest.get(at..at + 4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        let first = word(0).ok_or_else(cut)?;
        // Up to four bytes stand in the place of their number.
        if first >> 16 != 0 {
            let (kind, len) = (first & 0xffff, (first >> 16) as usize);
            let data = rest.get(4..4 + len.min(4)).ok_or_else(cut)?;
            *rest = rest.get(8..).unwrap_or_default();
            return Ok(Self { kind, data });
        }
        let len = word(4).ok_or_else(cut)? as usize;
        let data = rest.get(8..8 + len).ok_or_else(cut)?;
        // A compressed element is followed by the next one at once.
        let padded = if first == COMPRESSED { len } else { len.next_multiple_of(8) };
        *rest = rest.get(8 + padded..).unwrap_or_default();
        Ok(Self { kind: first, data })
    }

    /// The numbers of an element.
    fn numbers(&self) -> Result<Vec<f32>, String> {
        fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            data.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
        }
        Ok(match self.kind {
            1 => each(self.data, |b| f32::from(i8::from_le_bytes(b))),
            2 => each(self.data, |b| f32::from(u8::from_le_bytes(b))),
            3 => each(self.data, |b| f32::from(i16::from_le_bytes(b))),
            4 => each(self.data, |b| f32::from(u16::from_le_bytes(b))),
            5 => each(self.data, |b| i32::from_le_bytes(b) as f32),
            6 => each(self.data, |b| u32::from_le_bytes(b) as f32),
            7 => each(self.data, f32::from_le_bytes),
            9 => each(self.data, |b| f64::from_le_bytes(b) as f32),
            12 => each(self.data, |b| i64::from_le_bytes(b) as f32),
            13 => each(self.data, |b| u64::from_le_bytes(b) as f32),
            kind => return Err(format!("numbers of the unknown type {kind}")),
        })
    }

    /// The characters of an element.
    fn characters(&self) -> Result<Vec<u16>, String> {
        match self.kind {
            1 | 2 => Ok(self.data.iter().map(|byte| u16::from(*byte)).collect()),
            4 | 17 => Ok(self.data.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()),
            16 => Ok(String::from_utf8_lossy(self.data).encode_utf16().collect()),
            kind => Err(format!("characters of the unknown type {kind}")),
        }
    }
}

/// A variable or a cell.
struct Matrix<'a> {
    class: u8,
    dims: [usize; 2],
    rest: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// Reads name, class and sizes.
    fn parse(data: &'a [u8]) -> Result<(String, Self), String> {
        let mut rest = data;
        let flags = Element::take(&mut rest)?.data;
        let (class, flags) = (*flags.first().ok_or("a variable without a class")?, flags.get(1).copied().unwrap_or(0));
        if flags & 0x08 != 0 {
            return Err("complex numbers".to_owned());
        }
        let sizes = Element::take(&mut rest)?;
        let mut sizes = sizes.data.as_chunks::<4>().0.iter().map(|size| i32::from_le_bytes(*size).max(0) as usize);
        let rows = sizes.next().ok_or("a variable without sizes")?;
        let columns = sizes.try_fold(1usize, usize::checked_mul).ok_or("sizes that no memory has")?;
        let name = String::from_utf8_lossy(Element::take(&mut rest)?.data).into_owned();
        Ok((name, Self { class, dims: [rows, columns], rest }))
    }

    /// Reads the values of a variable that lies so deep in cells.
    fn array(mut self, depth: usize) -> Result<Array, String> {
        let [rows, columns] = self.dims;
        let len = rows.checked_mul(columns).ok_or("sizes that no memory has")?;
        let fits = |found: usize| match found == len {
            true => Ok(()),
            false => Err(format!("{found} values in an array of {rows} × {columns}")),
        };
        match self.class {
            1 if depth < DEEPEST => {
                let mut cells = Vec::new();
                for _ in 0..len {
                    let cell = Element::take(&mut self.rest)?;
                    // An empty cell has no bytes at all.
                    cells.push(match cell.data.is_empty() {
                        true => Array::Numbers([0, 0], Vec::new()),
                        false => Matrix::parse(cell.data)?.1.array(depth + 1)?,
                    });
                }
                Ok(Array::Cells(cells))
            }
            4 if len == 0 => Ok(Array::Texts(vec![String::new(); rows.min(1)])),
            4 => {
                let characters = Element::take(&mut self.rest)?.characters()?;
                fits(characters.len())?;
                Ok(rows_of(&characters, rows))
            }
            6..=15 => {
                let numbers = if len == 0 { Vec::new() } else { Element::take(&mut self.rest)?.numbers()? };
                fits(numbers.len())?;
                Ok(Array::Numbers(self.dims, numbers))
            }
            1 => Err("cells within cells without an end".to_owned()),
            5 => Err("sparse arrays are not read".to_owned()),
            class => Err(format!("arrays of class {class} are not read")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds the first variable of one of these names; without one, the names that there are.
    fn find(bytes: &[u8], names: &[&str]) -> Result<Result<Array, Vec<String>>, String> {
        let (mut found, mut others) = (None, Vec::new());
        scan(bytes, &mut |name, array| {
            match names.contains(&name.as_str()) {
                true => found = Some(array()?),
                false => others.push(name),
            }
            Ok(found.is_some())
        })?;
        Ok(found.ok_or(others))
    }

    const PLAIN: &[u8] = include_bytes!("../../../tests/fixtures/mat/plain/label.mat");
    const CELLS: &[u8] = include_bytes!("../../../tests/fixtures/mat/cells/caption.mat");
    const ROWS: &[u8] = include_bytes!("../../../tests/fixtures/mat/plain/index.mat");

    #[test]
    fn numbers_texts_and_cells_are_read() {
        let Array::Numbers(sizes, numbers) = find(PLAIN, &["label"]).unwrap().unwrap() else { panic!("numbers") };
        assert_eq!((sizes, numbers.iter().sum::<f32>()), ([40, 4], 40.0));
        assert_eq!(numbers[..40], [[1.0; 10], [0.0; 10], [0.0; 10], [0.0; 10]].concat(), "by columns");
        let captions = find(CELLS, &["caption"]).unwrap().unwrap().texts().unwrap();
        assert_eq!((captions.len(), captions[1].len()), (40, 2));
        assert_eq!(captions[6][1], "grüße x");
        let paths = find(ROWS, &["index"]).unwrap().unwrap().texts().unwrap();
        assert!(
            paths.iter().all(|path| path[0].starts_with("/home/someone/dataset/photos/") && !path[0].ends_with(' '))
        );
    }

    #[test]
    fn what_is_there_instead_is_named() {
        assert_eq!(find(CELLS, &["index"]).unwrap(), Err(vec!["other".to_owned(), "caption".to_owned()]));
        assert!(find(PLAIN, &["label"]).unwrap().unwrap().texts().unwrap_err().contains("texts are expected"));
        assert!(find(b"{}", &[]).unwrap_err().contains("no file of MATLAB"));
        let swapped = [&PLAIN[..124], &[1, 0, b'M', b'I'], &PLAIN[128..]].concat();
        assert!(find(&swapped, &[]).unwrap_err().contains("most significant byte first"));
    }

    /// MATLAB counts UTF-16 units.
    #[test]
    fn characters_beyond_the_first_plane_are_read() {
        let text = "sea \u{1F600} blue";
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut element = [17u32.to_le_bytes(), (units.len() as u32).to_le_bytes()].concat();
        element.extend(&units);
        element.resize(element.len().next_multiple_of(8), 0);
        let matrix = Matrix { class: 4, dims: [1, units.len() / 2], rest: &element };
        assert_eq!(matrix.array(0).unwrap(), Array::Texts(vec![text.to_owned()]));
    }

    /// Whatever is cut off or changed, the reader answers.
    #[test]
    fn no_bytes_are_too_much() {
        let mut refused = 0;
        for file in [PLAIN, CELLS, ROWS] {
            for end in 0..file.len() {
                refused += usize::from(find(&file[..end], &["index", "label", "caption"]).is_err());
            }
            for at in 128..file.len() {
                for value in [0, 1, 14, 0x7f, 0xff] {
                    let mut changed = file.to_vec();
                    changed[at] = value;
                    let _ = find(&changed, &["index", "label", "caption"]).map(|found| found.map(Array::texts));
                }
            }
        }
        assert!(refused > 1000, "{refused}");
    }
}
