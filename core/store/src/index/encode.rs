//! Values as bytes: whole numbers in LEB128, names by their place in a list.
//!
//! The encoding is one of its own because results leave out fields that are empty (`skip_serializing_if`), which rules
//! out the formats of serde that do not describe themselves: they could not read such a result. One that does describe
//! itself repeats the names of all fields in every entry.

use std::collections::BTreeMap;

use hashlab_data::SmallMap;

use crate::Name;

/// Values that are written one after another.
#[derive(Default)]
pub(super) struct Encoder {
    pub(super) bytes: Vec<u8>,
    names: BTreeMap<Name, u64>,
}

/// Values that are read one after another.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) names: &'a [Name],
}

/// What an [`Encoder`] writes and a [`Decoder`] reads; `None` where the bytes are those of no value.
pub(super) trait Encode: Sized {
    fn encode(&self, to: &mut Encoder);
    fn decode(from: &mut Decoder<'_>) -> Option<Self>;
}

impl Encoder {
    /// Encodes a whole number in LEB128: seven bits a byte, the lowest first.
    pub(super) fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A map as its number of entries, then keys and values.
    pub(super) fn entries<'v, K: Encode + 'v, V: Encode + 'v>(
        &mut self,
        entries: impl ExactSizeIterator<Item = (&'v K, &'v V)>,
    ) {
        self.number(entries.len() as u64);
        for (key, value) in entries {
            key.encode(self);
            value.encode(self);
        }
    }

    /// The names that were written, in the order of their places.
    pub(super) fn names(&self) -> Vec<Name> {
        let mut names: Vec<(u64, Name)> = self.names.iter().map(|(name, place)| (*place, *name)).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }
}

impl<'a> Decoder<'a> {
    /// Decodes a whole number in LEB128.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number of items that follow, each of which takes a byte at least.
    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.bytes.len())
    }

    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(bytes)?;
        self.bytes = rest;
        Some(taken)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

/// Encodes whole numbers.
macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Encode for $number {
            fn encode(&self, to: &mut Encoder) {
                to.number(*self as u64);
            }

            fn decode(from: &mut Decoder<'_>) -> Option<Self> {
                from.number()?.try_into().ok()
            }
        })*
    };
}

numbers!(u32, u64, usize);

impl Encode for bool {
    fn encode(&self, to: &mut Encoder) {
        to.number(u64::from(*self));
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        match from.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Encode for f64 {
    fn encode(&self, to: &mut Encoder) {
        to.bytes.extend_from_slice(&self.to_le_bytes());
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self::from_le_bytes(from.take(8)?.try_into().ok()?))
    }
}

impl Encode for String {
    fn encode(&self, to: &mut Encoder) {
        to.text(self);
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        from.text().map(str::to_owned)
    }
}

impl Encode for Name {
    fn encode(&self, to: &mut Encoder) {
        let next = to.names.len() as u64;
        let place = *to.names.entry(*self).or_insert(next);
        to.number(place);
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let place = usize::try_from(from.number()?).ok()?;
        from.names.get(place).copied()
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, to: &mut Encoder) {
        self.is_some().encode(to);
        self.iter().for_each(|value| value.encode(to));
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        Some(if bool::decode(from)? { Some(T::decode(from)?) } else { None })
    }
}

impl<T: Encode, U: Encode> Encode for (T, U) {
    fn encode(&self, to: &mut Encoder) {
        self.0.encode(to);
        self.1.encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        Some((T::decode(from)?, U::decode(from)?))
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, to: &mut Encoder) {
        to.number(self.len() as u64);
        self.iter().for_each(|value| value.encode(to));
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let count = from.count()?;
        (0..count).map(|_| T::decode(from)).collect()
    }
}

impl<K: Encode + Ord, V: Encode> Encode for SmallMap<K, V> {
    fn encode(&self, to: &mut Encoder) {
        to.entries(self.iter());
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        Some(Vec::<(K, V)>::decode(from)?.into_iter().collect())
    }
}

impl<K: Encode + Ord, V: Encode> Encode for BTreeMap<K, V> {
    fn encode(&self, to: &mut Encoder) {
        to.entries(self.iter());
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        Some(Vec::decode(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_read_back() {
        let mut encoder = Encoder::default();
        let numbers: Vec<u64> = (0..64).flat_map(|shift| [1 << shift, (1 << shift) - 1]).chain([u64::MAX]).collect();
        numbers.iter().for_each(|number| encoder.number(*number));
        let mut from = Decoder { bytes: &encoder.bytes, names: &[] };
        let read: Vec<u64> = std::iter::from_fn(|| from.number()).collect();
        assert_eq!(read, numbers);
        assert_eq!(Decoder { bytes: &[0xff; 20], names: &[] }.number(), None, "a number has an end");
    }

    #[test]
    fn a_truth_value_is_0_or_1() {
        let of = |byte: u8| bool::decode(&mut Decoder { bytes: &[byte], names: &[] });
        assert_eq!([0, 1, 2, 0x7f].map(of), [Some(false), Some(true), None, None]);
    }
}
