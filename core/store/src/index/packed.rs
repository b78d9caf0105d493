//! Values as bytes: whole numbers at their length, names by their place in a list.

use std::collections::BTreeMap;

use hashlab_data::{ByModality, Modality, SmallMap, Task};

use crate::Name;
use crate::record::{CodeStatistics, EncodingResult, RunId, RunResult, Status, TaskResult};

/// Values that are written one after another.
#[derive(Default)]
pub(super) struct Packer {
    pub(super) bytes: Vec<u8>,
    names: BTreeMap<Name, u64>,
}

/// Values that are read one after another.
#[derive(Clone, Copy)]
pub(super) struct Unpacker<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) names: &'a [Name],
}

/// What a [`Packer`] writes and an [`Unpacker`] reads; `None` where the bytes are those of no value.
pub(super) trait Packed: Sized {
    fn pack(&self, to: &mut Packer);
    fn unpack(from: &mut Unpacker<'_>) -> Option<Self>;
}

impl Packer {
    /// Seven bits a byte, the lowest first.
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
    fn entries<'v, K: Packed + 'v, V: Packed + 'v>(&mut self, entries: impl ExactSizeIterator<Item = (&'v K, &'v V)>) {
        self.number(entries.len() as u64);
        for (key, value) in entries {
            key.pack(self);
            value.pack(self);
        }
    }

    /// The names that were written, in the order of their places.
    pub(super) fn names(&self) -> Vec<Name> {
        let mut names: Vec<(u64, Name)> = self.names.iter().map(|(name, place)| (*place, *name)).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }
}

impl<'a> Unpacker<'a> {
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

/// Packs the fields of a struct, all of them, in the order given.
macro_rules! fields {
    ($record:ident { $($field:ident),* $(,)? }) => {
        impl Packed for $record {
            fn pack(&self, to: &mut Packer) {
                let Self { $($field),* } = self;
                $($field.pack(to);)*
            }

            fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
                $(let $field = Packed::unpack(from)?;)*
                Some(Self { $($field),* })
            }
        }
    };
}

// The run comes first, where an entry looks for it.
fields!(RunResult {
    run,
    schema,
    status,
    primary,
    message,
    epoch,
    epochs_done,
    test,
    validation,
    codes,
    encoding,
    other_encodings,
    seconds,
    attempts,
    provenance,
});
fields!(TaskResult { metrics, curves });
fields!(EncodingResult { test, validation, codes });
fields!(CodeStatistics { items, distinct, most_common, constant_bits, zero_outputs, collapsed });
fields!(Task { query, database });

/// Packs whole numbers.
macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Packed for $number {
            fn pack(&self, to: &mut Packer) {
                to.number(*self as u64);
            }

            fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
                from.number()?.try_into().ok()
            }
        })*
    };
}

numbers!(u32, u64, usize);

impl Packed for bool {
    fn pack(&self, to: &mut Packer) {
        to.number(u64::from(*self));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(from.number()? == 1)
    }
}

impl Packed for f64 {
    fn pack(&self, to: &mut Packer) {
        to.bytes.extend_from_slice(&self.to_le_bytes());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self::from_le_bytes(from.take(8)?.try_into().ok()?))
    }
}

impl Packed for String {
    fn pack(&self, to: &mut Packer) {
        to.text(self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        from.text().map(str::to_owned)
    }
}

impl Packed for RunId {
    fn pack(&self, to: &mut Packer) {
        self.0.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        String::unpack(from).map(Self)
    }
}

impl Packed for Name {
    fn pack(&self, to: &mut Packer) {
        let next = to.names.len() as u64;
        let place = *to.names.entry(*self).or_insert(next);
        to.number(place);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let place = usize::try_from(from.number()?).ok()?;
        from.names.get(place).copied()
    }
}

impl Packed for Status {
    fn pack(&self, to: &mut Packer) {
        match self {
            Self::Finished => false,
            Self::Diverged => true,
        }
        .pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(if bool::unpack(from)? { Self::Diverged } else { Self::Finished })
    }
}

impl Packed for Modality {
    fn pack(&self, to: &mut Packer) {
        Name::new(self.name()).pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let name = Name::unpack(from)?;
        Self::ALL.into_iter().find(|modality| name == modality.name())
    }
}

impl<T: Packed> Packed for Option<T> {
    fn pack(&self, to: &mut Packer) {
        self.is_some().pack(to);
        self.iter().for_each(|value| value.pack(to));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(if bool::unpack(from)? { Some(T::unpack(from)?) } else { None })
    }
}

impl<T: Packed, U: Packed> Packed for (T, U) {
    fn pack(&self, to: &mut Packer) {
        self.0.pack(to);
        self.1.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some((T::unpack(from)?, U::unpack(from)?))
    }
}

impl<T: Packed> Packed for Vec<T> {
    fn pack(&self, to: &mut Packer) {
        to.number(self.len() as u64);
        self.iter().for_each(|value| value.pack(to));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let count = from.count()?;
        let mut all = Self::with_capacity(count);
        for _ in 0..count {
            all.push(T::unpack(from)?);
        }
        Some(all)
    }
}

impl<K: Packed + Ord, V: Packed> Packed for SmallMap<K, V> {
    fn pack(&self, to: &mut Packer) {
        to.entries(self.iter());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Vec::<(K, V)>::unpack(from)?.into_iter().collect())
    }
}

impl<K: Packed + Ord, V: Packed> Packed for BTreeMap<K, V> {
    fn pack(&self, to: &mut Packer) {
        to.entries(self.iter());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Vec::unpack(from)?.into_iter().collect())
    }
}

impl<V: Packed> Packed for ByModality<V> {
    fn pack(&self, to: &mut Packer) {
        let entries: Vec<(Modality, &V)> = self.iter().collect();
        to.entries(entries.iter().map(|(modality, value)| (modality, *value)));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Vec::<(Modality, V)>::unpack(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use hashlab_data::Modality::{Image, Text};

    use super::*;

    /// A result with something in every field.
    fn result() -> RunResult {
        let metrics: SmallMap<Name, f64> = [("map_all", 0.1 + 0.2), ("map_at_k", -0.0), ("odd", 1e-310)].into();
        let task = TaskResult { metrics, curves: [("ranks", vec![1.0, 2.5])].into() };
        let codes = CodeStatistics {
            items: 60_000,
            distinct: 1,
            most_common: 59_999,
            constant_bits: 63,
            zero_outputs: u64::MAX,
            collapsed: true,
        };
        let mut result = RunResult::empty(RunId("a-b16-s0-1f0c2a9b7d3e".to_owned()), Status::Diverged);
        result.message = Some("größer als alles".to_owned());
        (result.epoch, result.epochs_done, result.attempts) = (Some(0), Some(300), 3);
        result.test.insert(Task::within(Image), task.clone());
        result.validation.insert(Task { query: Text, database: Image }, task.clone());
        result.codes = ByModality::one(Text, codes);
        result.encoding = Some("fused".to_owned());
        let other = EncodingResult { test: [(Task::within(Text), task)].into(), ..EncodingResult::default() };
        result.other_encodings.insert("image".to_owned(), other);
        result.seconds.insert("train", 1.5);
        result.provenance.extend([("device", "cpu"), ("host", "cpu")]);
        result
    }

    fn packed(result: &RunResult) -> (Vec<u8>, Vec<Name>) {
        let mut packer = Packer::default();
        result.pack(&mut packer);
        (packer.bytes.clone(), packer.names())
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        for result in [result(), RunResult::empty(RunId(String::new()), Status::Finished)] {
            let (bytes, names) = packed(&result);
            let mut from = Unpacker { bytes: &bytes, names: &names };
            let read = RunResult::unpack(&mut from).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&result).unwrap(), "bit for bit");
            assert_eq!((read, from.bytes.len()), (result, 0));
        }
    }

    #[test]
    fn bytes_that_end_early_are_no_value() {
        let (bytes, names) = packed(&result());
        for end in 0..bytes.len() {
            assert!(RunResult::unpack(&mut Unpacker { bytes: &bytes[..end], names: &names }).is_none(), "{end}");
        }
        assert!(RunResult::unpack(&mut Unpacker { bytes: &bytes, names: &names[1..] }).is_none());
    }

    #[test]
    fn numbers_of_every_length_are_read_back() {
        let mut packer = Packer::default();
        let numbers: Vec<u64> = (0..64).flat_map(|shift| [1 << shift, (1 << shift) - 1]).chain([u64::MAX]).collect();
        numbers.iter().for_each(|number| packer.number(*number));
        let mut from = Unpacker { bytes: &packer.bytes, names: &[] };
        let read: Vec<u64> = std::iter::from_fn(|| from.number()).collect();
        assert_eq!(read, numbers);
        assert_eq!(Unpacker { bytes: &[0xff; 20], names: &[] }.number(), None, "a number has an end");
    }
}
