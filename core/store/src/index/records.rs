//! Results as bytes.

use hashlab_data::{ByModality, Modality, Task};

use super::encode::{Decoder, Encode, Encoder};
use crate::record::{CodeStatistics, EncodingResult, RunResult, Status, TaskResult};
use crate::{Name, RunId};

/// Encodes the fields of a struct, all of them, in the order given.
macro_rules! fields {
    ($record:ident { $($field:ident),* $(,)? }) => {
        impl Encode for $record {
            fn encode(&self, to: &mut Encoder) {
                let Self { $($field),* } = self;
                $($field.encode(to);)*
            }

            fn decode(from: &mut Decoder<'_>) -> Option<Self> {
                $(let $field = Encode::decode(from)?;)*
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

impl Encode for RunId {
    fn encode(&self, to: &mut Encoder) {
        self.0.encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        String::decode(from).map(Self)
    }
}

impl Encode for Status {
    fn encode(&self, to: &mut Encoder) {
        match self {
            Self::Finished => false,
            Self::Diverged => true,
        }
        .encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        Some(if bool::decode(from)? { Self::Diverged } else { Self::Finished })
    }
}

impl Encode for Modality {
    fn encode(&self, to: &mut Encoder) {
        Name::new(self.name()).encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        let name = Name::decode(from)?;
        Self::ALL.into_iter().find(|modality| name == modality.name())
    }
}

impl<V: Encode> Encode for ByModality<V> {
    fn encode(&self, to: &mut Encoder) {
        let entries: Vec<(Modality, &V)> = self.iter().collect();
        to.entries(entries.iter().map(|(modality, value)| (modality, *value)));
    }

    fn decode(from: &mut Decoder<'_>) -> Option<Self> {
        Some(Vec::<(Modality, V)>::decode(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use hashlab_data::Modality::{Image, Text};
    use hashlab_data::SmallMap;

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
        let other = EncodingResult {
            test: [(Task::within(Text), task.clone())].into(),
            validation: [(Task::within(Image), task)].into(),
            codes: ByModality::one(Image, codes),
        };
        result.other_encodings.insert("image".to_owned(), other);
        result.seconds.insert("train", 1.5);
        result.provenance.extend([("device", "cpu"), ("host", "cpu")]);
        result
    }

    fn encoded(result: &RunResult) -> (Vec<u8>, Vec<Name>) {
        let mut encoder = Encoder::default();
        result.encode(&mut encoder);
        (encoder.bytes.clone(), encoder.names())
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for result in [result(), RunResult::empty(RunId(String::new()), Status::Finished)] {
            let (bytes, names) = encoded(&result);
            let mut from = Decoder { bytes: &bytes, names: &names };
            let read = RunResult::decode(&mut from).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&result).unwrap(), "bit for bit");
            assert_eq!((read, from.bytes.len()), (result, 0));
        }
    }

    /// An index of the same version holds the same bytes for a result.
    #[test]
    fn another_encoding_is_another_version() {
        let (bytes, names) = encoded(&RunResult { schema: 2, ..result() });
        let digest = blake3::hash(&[&bytes[..], names.join(" ").as_bytes()].concat()).to_hex();
        assert_eq!(&digest[..16], "e72c57917390027c", "raise the version in index.rs");
    }

    #[test]
    fn bytes_that_end_early_are_no_value() {
        let (bytes, names) = encoded(&result());
        for end in 0..bytes.len() {
            assert!(RunResult::decode(&mut Decoder { bytes: &bytes[..end], names: &names }).is_none(), "{end}");
        }
        assert!(RunResult::decode(&mut Decoder { bytes: &bytes, names: &names[1..] }).is_none());
    }
}
