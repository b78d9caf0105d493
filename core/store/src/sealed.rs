//! Records that hold the digest of their own text, so that a changed digit does not go unnoticed.

use std::borrow::Cow;

use serde::Serialize;

/// What stands before the digest, the last field of a record.
const FIELD: &[u8] = b",\n  \"digest\": \"";

/// What stands behind it.
const END: &[u8] = b"\"\n}\n";

/// Hexadecimal digits of a digest.
const DIGITS: usize = 16;

/// A record as indented JSON with its digest.
pub(super) fn seal(record: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(record).expect("records are plain data");
    text.truncate(text.len() - b"\n}".len());
    let digest = digest(&text);
    [&text, FIELD, digest.as_bytes(), END].concat()
}

/// The JSON of a record without its digest, and whether the text is the one that was sealed. A text without a digest
/// stays as it is.
pub(super) fn unseal(bytes: &[u8]) -> (Cow<'_, [u8]>, bool) {
    let parts = || {
        let (text, end) = bytes.split_at_checked(bytes.len().checked_sub(FIELD.len() + DIGITS + END.len())?)?;
        let digest = end.strip_prefix(FIELD)?.strip_suffix(END)?;
        Some((text, digest))
    };
    match parts() {
        None => (Cow::Borrowed(bytes), true),
        Some((text, found)) => (Cow::Owned([text, b"\n}"].concat()), digest(text).as_bytes() == found),
    }
}

fn digest(text: &[u8]) -> String {
    blake3::hash(text).to_hex()[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let record = json!({ "map": 0.2033, "run": "a" });
        let sealed = seal(&record);
        let whole: Value = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(whole["map"], 0.2033);
        let read = |bytes: &[u8]| {
            let (text, sound) = unseal(bytes);
            serde_json::from_slice::<Value>(&text).ok().filter(|_| sound)
        };
        assert_eq!(read(&sealed), Some(record.clone()));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_ne!(read(&changed), Some(record.clone()), "byte {at}");
        }
        let plain = serde_json::to_vec(&record).unwrap();
        assert_eq!(read(&plain), Some(record), "a record without a digest");
    }
}
