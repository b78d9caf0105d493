//! Binary codes, packed. The only place in hashlab that binarizes.

use std::ops::Range;

use crate::EvalError;

/// Codes of `n` items, each `bits` long and packed into 64-bit words, lowest bit first; unused bits are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes {
    bits: usize,
    words: usize,
    packed: Vec<u64>,
    zeros: u64,
}

impl Codes {
    /// Makes an empty list of codes with room for `items` of them.
    pub fn with_capacity(bits: usize, items: usize) -> Self {
        let words = bits.div_ceil(64).max(1);
        Self { bits, words, packed: Vec::with_capacity(items * words), zeros: 0 }
    }

    /// Binarizes relaxed codes of shape `(n, bits)`, row by row: `h >= 0` is bit 1.
    ///
    /// # Errors
    /// If they end within an item, or hold NaN.
    pub fn from_signs(relaxed: &[f32], bits: usize) -> Result<Self, EvalError> {
        if bits == 0 || !relaxed.len().is_multiple_of(bits) {
            return Err(EvalError::Chunk { values: relaxed.len(), bits });
        }
        if let Some(at) = relaxed.iter().position(|h| h.is_nan()) {
            return Err(EvalError::NotANumber { item: at / bits, bit: at % bits });
        }
        let mut codes = Self::with_capacity(bits, relaxed.len() / bits);
        for row in relaxed.chunks_exact(bits) {
            codes.packed.extend(row.chunks(64).map(pack_signs));
        }
        codes.zeros = relaxed.iter().filter(|&&h| h == 0.0).count() as u64;
        Ok(codes)
    }

    /// Takes codes that are packed into bytes, `bytes` per item, as `numpy.packbits` writes them in either order of bits:
    /// a distance counts the bits that differ, wherever they are.
    ///
    /// # Errors
    /// If they end within an item.
    pub fn from_packed(packed: &[u8], bytes: usize) -> Result<Self, EvalError> {
        if bytes == 0 || !packed.len().is_multiple_of(bytes) {
            return Err(EvalError::PackedCodes { len: packed.len(), bytes });
        }
        let mut codes = Self::with_capacity(8 * bytes, packed.len() / bytes);
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        for row in packed.chunks_exact(bytes) {
            codes.packed.extend(row.chunks(8).map(word));
        }
        Ok(codes)
    }

    /// Bytes of a packed code in [`Codes::to_packed`].
    pub fn packed_len(&self) -> usize {
        self.bits.div_ceil(8)
    }

    /// Packs the codes of some items into bytes, lowest bit first, as [`Codes::from_packed`] reads them and faiss's binary
    /// indexes take them.
    ///
    /// # Panics
    /// If an item does not exist.
    pub fn to_packed(&self, items: &[u32]) -> Vec<u8> {
        let bytes = |&item: &u32| {
            let words = self.item(item as usize).iter();
            words.flat_map(|word| word.to_le_bytes()).take(self.packed_len())
        };
        items.iter().flat_map(bytes).collect()
    }

    /// Appends the codes of more items, which must be equally long.
    ///
    /// # Panics
    /// If they are not.
    pub fn extend(&mut self, others: &Self) {
        assert_eq!(self.bits, others.bits, "codes of one list are equally long");
        self.packed.extend(&others.packed);
        self.zeros += others.zeros;
    }

    /// Appends `items` placeholder codes, so that the codes after them keep their positions.
    pub fn extend_blank(&mut self, items: usize) {
        self.packed.resize(self.packed.len() + items * self.words, 0);
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.packed.len() / self.words
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// Code length in bits.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Number of relaxed values that were exactly zero, and so became bit 1 by convention alone.
    ///
    /// More than a few point to a dead unit, or to features of zeros.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The packed code of item `index`.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn item(&self, index: usize) -> &[u64] {
        &self.packed[index * self.words..(index + 1) * self.words]
    }

    /// Copies the codes of `items`, in their order. The count of zeros stays with the whole.
    ///
    /// # Panics
    /// If an item does not exist.
    pub fn select(&self, items: &[u32]) -> Self {
        let packed = items.iter().flat_map(|&item| self.item(item as usize)).copied().collect();
        Self { bits: self.bits, words: self.words, packed, zeros: 0 }
    }

    /// Counts the bits in which item `i` differs from item `j` of `other`, whose codes are equally long.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn hamming(&self, i: usize, other: &Self, j: usize) -> u32 {
        debug_assert_eq!(self.bits, other.bits, "codes of different lengths have no distance");
        self.item(i).iter().zip(other.item(j)).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    /// The packed codes of some items, item after item.
    pub(crate) fn items(&self, items: Range<usize>) -> &[u64] {
        &self.packed[items.start * self.words..items.end * self.words]
    }

    /// The packed words of all codes, item after item.
    pub fn packed(&self) -> &[u64] {
        &self.packed
    }

    /// Words per code.
    pub(crate) fn words(&self) -> usize {
        self.words
    }
}

/// Packs the signs of up to 64 values, the first into the lowest bit.
fn pack_signs(relaxed: &[f32]) -> u64 {
    relaxed.iter().enumerate().fold(0, |word, (bit, &h)| word | u64::from(h >= 0.0) << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selected_codes_are_those_of_the_items() {
        let relaxed: Vec<f32> = (0..70 * 3).map(|i| if i % 7 < 3 { 1.0 } else { -1.0 }).collect();
        let codes = Codes::from_signs(&relaxed, 70).unwrap();
        let chosen = codes.select(&[2, 0, 2]);
        assert_eq!(chosen.len(), 3);
        assert_eq!([chosen.item(0), chosen.item(1), chosen.item(2)], [codes.item(2), codes.item(0), codes.item(2)]);
    }

    #[test]
    fn zero_of_either_sign_is_bit_one_and_is_counted() {
        let codes = Codes::from_signs(&[0.0, -0.0, -1e-30, 1e-30], 4).unwrap();
        assert_eq!(codes.item(0), [0b1011]);
        assert_eq!(codes.zeros(), 2);
    }

    #[test]
    fn chunks_append_to_the_same_codes() {
        let relaxed: Vec<f32> = (0..70 * 5).map(|i| (i as f32 * 0.7).sin()).collect();
        let mut chunked = Codes::with_capacity(70, 5);
        for chunk in [&relaxed[..140], &[], &relaxed[140..]] {
            chunked.extend(&Codes::from_signs(chunk, 70).unwrap());
        }
        assert_eq!(chunked, Codes::from_signs(&relaxed, 70).unwrap());
        assert_eq!((chunked.len(), chunked.item(4).len()), (5, 2));
    }

    #[test]
    fn codes_behind_blank_ones_have_their_own_positions() {
        let relaxed: Vec<f32> = (0..70 * 5).map(|i| (i as f32 * 0.7).sin()).collect();
        let mut codes = Codes::from_signs(&relaxed[..70], 70).unwrap();
        codes.extend_blank(3);
        codes.extend(&Codes::from_signs(&relaxed[280..], 70).unwrap());
        let all = Codes::from_signs(&relaxed, 70).unwrap();
        assert_eq!((codes.len(), codes.item(0), codes.item(4)), (5, all.item(0), all.item(4)));
        assert_eq!(codes.zeros(), 1, "the sine of 0, and no blank");
    }

    #[test]
    fn packed_bytes_are_the_signs_lowest_bit_first() {
        for bits in [8, 64, 72, 136] {
            let relaxed: Vec<f32> = (0..bits * 3).map(|i| (i as f32 * 0.7).cos()).collect();
            let byte = |bits: &[f32]| bits.iter().rev().fold(0, |byte, &h| byte << 1 | u8::from(h >= 0.0));
            let bytes: Vec<u8> = relaxed.chunks(8).map(byte).collect();
            let packed = Codes::from_packed(&bytes, bits / 8).unwrap();
            assert_eq!(packed, Codes::from_signs(&relaxed, bits).unwrap());
            assert_eq!(packed.to_packed(&[0, 1, 2]), bytes);
            assert_eq!(packed.to_packed(&[2]), bytes[2 * packed.packed_len()..]);
        }
        assert_eq!(Codes::from_packed(&[1, 2, 3], 2), Err(EvalError::PackedCodes { len: 3, bytes: 2 }));
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let nan = [1.0, 1.0, -1.0, f32::NAN];
        assert_eq!(Codes::from_signs(&nan, 2), Err(EvalError::NotANumber { item: 1, bit: 1 }));
        assert_eq!(Codes::from_signs(&[0.0; 3], 2), Err(EvalError::Chunk { values: 3, bits: 2 }));
        assert_eq!(Codes::from_signs(&[], 0), Err(EvalError::Chunk { values: 0, bits: 0 }));
    }

    #[test]
    fn hamming_is_half_of_bits_less_the_inner_product() {
        for bits in [1, 16, 63, 64, 65, 128, 200] {
            let sign = |item: usize, bit: usize| if (item * 31 + bit * bit * 7) % 5 < 2 { -1.0 } else { 1.0 };
            let relaxed: Vec<f32> = (0..4 * bits).map(|at| sign(at / bits, at % bits)).collect();
            let codes = Codes::from_signs(&relaxed, bits).unwrap();
            for (i, j) in [(0, 0), (0, 1), (1, 2), (3, 2)] {
                let inner: f32 = (0..bits).map(|bit| sign(i, bit) * sign(j, bit)).sum();
                assert_eq!(codes.hamming(i, &codes, j) as f32, (bits as f32 - inner) / 2.0, "{bits} bits");
            }
        }
    }
}
