//! Modalities of items, and the retrieval tasks between them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::SmallMap;

/// A kind of data that an item has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Modality {
    /// A picture.
    Image,
    /// A text: caption, tags, sentence.
    Text,
}

impl Modality {
    /// Every modality.
    pub const ALL: [Self; 2] = [Self::Image, Self::Text];

    /// Name in files and settings: `image`, `text`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Image => 'i',
            Self::Text => 't',
        }
    }

    fn of_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|modality| modality.letter() == letter)
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value per modality, in the order of [`Modality`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByModality<T>(SmallMap<Modality, T>);

impl<T> Default for ByModality<T> {
    fn default() -> Self {
        Self(SmallMap::new())
    }
}

impl<T> ByModality<T> {
    /// A single modality's value.
    pub fn one(modality: Modality, value: T) -> Self {
        Self(SmallMap::from([(modality, value)]))
    }

    /// The value of `modality`.
    pub fn get(&self, modality: Modality) -> Option<&T> {
        self.0.get(&modality)
    }

    /// The value of `modality`, mutable.
    pub fn get_mut(&mut self, modality: Modality) -> Option<&mut T> {
        self.0.get_mut(&modality)
    }

    /// The only modality with its value; `None` if there are several or none.
    pub fn only(&self) -> Option<(Modality, &T)> {
        let (modality, value) = self.0.iter().next()?;
        (self.0.len() == 1).then_some((*modality, value))
    }

    /// Sets the value of `modality`.
    pub fn insert(&mut self, modality: Modality, value: T) -> Option<T> {
        self.0.insert(modality, value)
    }

    /// Removes and returns the value of `modality`.
    pub fn remove(&mut self, modality: Modality) -> Option<T> {
        self.0.remove(&modality)
    }

    /// The modalities, in their order.
    pub fn modalities(&self) -> impl Iterator<Item = Modality> + '_ {
        self.0.keys().copied()
    }

    /// Modalities and values, in the order of modalities.
    pub fn iter(&self) -> impl Iterator<Item = (Modality, &T)> {
        self.0.iter().map(|(modality, value)| (*modality, value))
    }

    /// The values, in the order of modalities.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.0.values()
    }

    /// Number of modalities.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no modality.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Maps every value.
    pub fn map<'a, U>(&'a self, mut map: impl FnMut(Modality, &'a T) -> U) -> ByModality<U> {
        self.iter().map(|(modality, value)| (modality, map(modality, value))).collect()
    }

    /// Maps every value, or returns the first error.
    ///
    /// # Errors
    /// The first that `map` returns.
    pub fn try_map<'a, U, E>(
        &'a self,
        mut map: impl FnMut(Modality, &'a T) -> Result<U, E>,
    ) -> Result<ByModality<U>, E> {
        self.iter().map(|(modality, value)| Ok((modality, map(modality, value)?))).collect()
    }
}

impl<T> FromIterator<(Modality, T)> for ByModality<T> {
    fn from_iter<I: IntoIterator<Item = (Modality, T)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl<T> IntoIterator for ByModality<T> {
    type Item = (Modality, T);
    type IntoIter = std::vec::IntoIter<(Modality, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A retrieval task: queries of one modality, a database of the same or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    /// Modality of the queries.
    pub query: Modality,
    /// Modality of the database.
    pub database: Modality,
}

impl Task {
    /// The task of queries and database of one modality.
    pub fn within(modality: Modality) -> Self {
        Self { query: modality, database: modality }
    }

    /// The tasks of a run on these modalities: within the only one, or from each to each other.
    ///
    /// ```
    /// # use hashlab_data::{Modality, Task};
    /// let keys = |modalities: &[Modality]| Task::of(modalities).iter().map(Task::key).collect::<Vec<_>>();
    /// assert_eq!(keys(&[Modality::Image]), ["i2i"]);
    /// assert_eq!(keys(&[Modality::Image, Modality::Text]), ["i2t", "t2i"]);
    /// ```
    pub fn of(modalities: &[Modality]) -> Vec<Self> {
        if let [only] = modalities {
            return vec![Self::within(*only)];
        }
        let from = |query: Modality| modalities.iter().map(move |&database| Self { query, database });
        modalities.iter().flat_map(|&query| from(query)).filter(|task| task.query != task.database).collect()
    }

    /// Name in files: `i2i`, `i2t`, `t2i`, `t2t`.
    pub fn key(&self) -> String {
        format!("{}2{}", self.query.letter(), self.database.letter())
    }
}

impl fmt::Display for Task {
    /// As tables print it: `I→T`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}→{}", self.query.letter().to_ascii_uppercase(), self.database.letter().to_ascii_uppercase())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(key: &str) -> Result<Self, String> {
        let parsed = key.split_once('2').and_then(|(query, database)| {
            let modality = |text: &str| Modality::of_letter(text.chars().next()?).filter(|_| text.len() == 1);
            Some(Self { query: modality(query)?, database: modality(database)? })
        });
        parsed.ok_or_else(|| format!("`{key}` is no retrieval task: expected i2i, i2t, t2i or t2t"))
    }
}

impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.key())
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_tasks_are_read_back() {
        for query in Modality::ALL {
            for database in Modality::ALL {
                let task = Task { query, database };
                assert_eq!(task.key().parse(), Ok(task));
            }
        }
        for odd in ["", "i", "2", "i2", "2t", "i2x", "ii2t", "i2t2i"] {
            assert!(odd.parse::<Task>().is_err(), "{odd}");
        }
    }

    #[test]
    fn the_only_modality_is_the_only_one() {
        let mut values = ByModality::one(Modality::Text, 1);
        assert_eq!(values.only(), Some((Modality::Text, &1)));
        values.insert(Modality::Image, 2);
        assert_eq!(values.only(), None);
        assert_eq!(values.modalities().collect::<Vec<_>>(), Modality::ALL);
        assert_eq!(serde_json::to_string(&values).unwrap(), r#"{"image":2,"text":1}"#);
    }
}
