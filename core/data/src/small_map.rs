//! A map of few entries in one piece of memory.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Index;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A map of few entries, sorted by key. A tree allots room for eleven entries at once, which is most of the memory of a
/// hundred thousand results with a handful of entries each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SmallMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K, V> SmallMap<K, V> {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Entries, in the order of keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.0.iter().map(|(key, _)| key)
    }

    /// Values, in the order of keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator {
        self.0.iter().map(|(_, value)| value)
    }

    /// Keeps the entries that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }

    /// Values, mutable, in the order of keys.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SmallMap<K, V> {
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }

    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|at| &self.0[at].1)
    }

    /// The value of `key`, mutable.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Whether `key` has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Sets the value of `key`; returns the one before.
    pub fn insert(&mut self, key: impl Into<K>, value: impl Into<V>) -> Option<V> {
        let (key, value) = (key.into(), value.into());
        match self.place(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Removes and returns the value of `key`.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Sorts entries; of several with one key, the last stays.
    fn sorted(mut entries: Vec<(K, V)>) -> Self {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        entries.shrink_to_fit();
        Self(entries)
    }
}

impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> Index<&Q> for SmallMap<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the map has the key")
    }
}

impl<K: Ord, V, Q: Into<K>, W: Into<V>> FromIterator<(Q, W)> for SmallMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (Q, W)>>(entries: I) -> Self {
        Self::sorted(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<K: Ord, V, Q: Into<K>, W: Into<V>> Extend<(Q, W)> for SmallMap<K, V> {
    fn extend<I: IntoIterator<Item = (Q, W)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<K: Ord, V, Q: Into<K>, W: Into<V>, const N: usize> From<[(Q, W); N]> for SmallMap<K, V> {
    fn from(entries: [(Q, W); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V> IntoIterator for SmallMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A reference to an entry, as a reference to a map yields it.
type Entry<'a, K, V> = fn(&'a (K, V)) -> (&'a K, &'a V);

impl<'a, K, V> IntoIterator for &'a SmallMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (K, V)>, Entry<'a, K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SmallMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Serialize, V: Serialize> Serialize for SmallMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for SmallMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
    type Value = SmallMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(SmallMap::sorted(entries))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_small_map_is_what_a_tree_is() {
        let entries = [("b", 2), ("a", 1), ("c", 3), ("a", 4)];
        let mut small: SmallMap<String, i32> = entries.into();
        let mut tree: BTreeMap<String, i32> = entries.map(|(key, value)| (key.to_owned(), value)).into();
        let same = |small: &SmallMap<String, i32>, tree: &BTreeMap<String, i32>| {
            assert!(small.iter().eq(tree.iter()) && small.into_iter().eq(tree), "{small:?} {tree:?}");
            assert_eq!(serde_json::to_string(small).unwrap(), serde_json::to_string(tree).unwrap());
            assert_eq!(format!("{small:?}"), format!("{tree:?}"));
            assert_eq!((small.len(), small.is_empty()), (tree.len(), tree.is_empty()));
        };
        same(&small, &tree);
        assert_eq!(small.insert("d", 5), tree.insert("d".into(), 5));
        assert_eq!(small.insert("a", 6), tree.insert("a".into(), 6));
        assert_eq!((small.get("d"), small.get("z"), small["a"]), (tree.get("d"), tree.get("z"), tree["a"]));
        assert_eq!((small.remove("b"), small.remove("b")), (tree.remove("b"), tree.remove("b")));
        same(&small, &tree);
        small.extend([("e", 7)]);
        tree.extend([("e".to_owned(), 7)]);
        small.values_mut().for_each(|value| *value += 1);
        tree.values_mut().for_each(|value| *value += 1);
        same(&small, &tree);
        small.retain(|key, _| key != "d");
        tree.retain(|key, _| key != "d");
        same(&small, &tree);
        let read: SmallMap<String, i32> = serde_json::from_str(r#"{"z": 1, "b": 2, "z": 3}"#).unwrap();
        assert_eq!(read, [("b", 2), ("z", 3)].into());
    }
}
