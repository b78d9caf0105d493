//! Texts that many results share.

use std::borrow::Borrow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{PoisonError, RwLock};

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is in memory once, however many results hold it: the name of a metric, or a fact of a run's provenance.
/// It stays in memory until the process ends. It takes eight bytes, half of what a text takes beside its characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(&'static &'static str);

/// The place of a text in a small table, by its length and a few of its bytes.
fn place(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |i: usize| usize::from(bytes.get(i).copied().unwrap_or_default());
    let ends = at(bytes.len() / 2) + 7 * at(bytes.len().wrapping_sub(1)) + 31 * at(bytes.len().wrapping_sub(2));
    (bytes.len() + 3 * at(0) + 61 * ends) % REMEMBERED
}

/// All names of the process.
static NAMES: RwLock<BTreeMap<&'static str, Name>> = RwLock::new(BTreeMap::new());

/// Number of names that a thread remembers.
const REMEMBERED: usize = 256;

thread_local! {
    /// Names that the thread met last, by place: results repeat the same few.
    static RECENT: [Cell<Name>; REMEMBERED] = const { [const { Cell::new(Name(&"")) }; REMEMBERED] };
}

impl Name {
    /// The name of a text.
    pub fn new(text: &str) -> Self {
        RECENT.with(|names| {
            let place = &names[place(text)];
            if place.get() != text {
                place.set(Self::shared(text));
            }
            place.get()
        })
    }

    fn shared(text: &str) -> Self {
        // A panic elsewhere leaves the map as it was.
        let known = NAMES.read().unwrap_or_else(PoisonError::into_inner).get(text).copied();
        known.unwrap_or_else(|| {
            let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
            names.get(text).copied().unwrap_or_else(|| {
                let text: &'static str = Box::leak(text.into());
                let name = Self(Box::leak(Box::new(text)));
                names.insert(text, name);
                name
            })
        })
    }

    /// The text.
    pub fn as_str(&self) -> &'static str {
        self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<&String> for Name {
    fn from(text: &String) -> Self {
        Self::new(text)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, text: &str) -> bool {
        *self.0 == text
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, text: &&str) -> bool {
        self.0 == text
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Name, E> {
        Ok(Name::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let read: Name = serde_json::from_str("\"map_at_k\"").unwrap();
        let again = Name::from("map_at_k".to_owned());
        assert!(std::ptr::eq(read.as_str(), again.as_str()));
        assert_ne!(read, Name::from("map_all"));
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"map_at_k\"");
    }
}
