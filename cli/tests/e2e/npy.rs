//! A reader of .npy files, as NumPy describes them.

use crate::lab::Lab;

/// An array, before anything is known of its type.
#[derive(Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) kind: String,
    pub(crate) shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    pub(crate) fn read(lab: &Lab, name: &str) -> Self {
        let bytes = std::fs::read(lab.path(name)).unwrap();
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{name}");
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let (text, data) = bytes[10..].split_at(header);
        let text = std::str::from_utf8(text).unwrap();
        assert!((10 + header).is_multiple_of(64) && text.contains("'fortran_order': False"), "{name}: {text}");
        let between = |start: &str, end: &str| text.split_once(start).unwrap().1.split_once(end).unwrap().0.to_owned();
        let sizes = between("'shape': (", ")");
        let shape = sizes.split(',').filter(|size| !size.trim().is_empty()).map(|size| size.trim().parse().unwrap());
        Self { kind: between("'descr': '", "'"), shape: shape.collect(), bytes: data.to_vec() }
    }

    pub(crate) fn f32(&self) -> Vec<f32> {
        assert_eq!(self.kind, "<f4");
        self.words().map(f32::from_le_bytes).collect()
    }

    pub(crate) fn u32(&self) -> Vec<u32> {
        assert_eq!(self.kind, "<u4");
        self.words().map(u32::from_le_bytes).collect()
    }

    pub(crate) fn u8(&self) -> &[u8] {
        assert_eq!((self.kind.as_str(), self.bytes.len()), ("|u1", self.len()));
        &self.bytes
    }

    fn words(&self) -> impl Iterator<Item = [u8; 4]> {
        assert_eq!(self.bytes.len(), 4 * self.len());
        self.bytes.chunks_exact(4).map(|word| word.try_into().expect("four bytes"))
    }

    /// The number of values that the shape announces.
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}
