//! Labels of items, by name.

use std::collections::BTreeMap;

use hashlab_data::Labels;

use super::strings::Lists;

/// More classes than any data set's: an item's labels are a bit each, so that a wrong column would fill the memory.
pub(crate) const MOST_CLASSES: usize = 1 << 16;

/// Classes by name, and the classes of each item.
#[derive(Default)]
pub(crate) struct NamedLabels {
    numbers: BTreeMap<String, u32>,
    items: Lists<u32>,
}

impl NamedLabels {
    /// The number of a class, which is new if it was not seen before.
    pub(crate) fn class(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// Appends an item of these classes.
    pub(crate) fn push(&mut self, classes: impl IntoIterator<Item = u32>) {
        self.items.push(classes);
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.numbers.len()
    }

    /// Number of items.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The classes of item `index`, by the number that they were given first.
    pub(crate) fn item(&self, index: usize) -> &[u32] {
        self.items.get(index)
    }

    /// The labels and the names of their classes, in the order of the names: of their values if all are integers, else
    /// of their letters. The order of items does not matter.
    pub(crate) fn finish(self) -> (Labels, Vec<String>) {
        let mut names: Vec<(&String, u32)> = self.numbers.iter().map(|(name, number)| (name, *number)).collect();
        let values: Option<Vec<i64>> = names.iter().map(|(name, _)| name.parse().ok()).collect();
        if values.is_some() {
            names.sort_by_key(|(name, _)| name.parse::<i64>().expect("all are integers"));
        }
        let mut place = vec![0; names.len()];
        for (at, (_, number)) in names.iter().enumerate() {
            place[*number as usize] = at;
        }
        let sets = (0..self.items.len()).map(|item| self.items.get(item).iter().map(|class| place[*class as usize]));
        let labels = Labels::multi(names.len(), sets);
        (labels, names.into_iter().map(|(name, _)| name.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> (Labels, Vec<String>) {
        let mut labels = NamedLabels::default();
        for name in names {
            let class = labels.class(name);
            labels.push([class]);
        }
        labels.finish()
    }

    #[test]
    fn classes_are_in_the_order_of_their_names_or_values() {
        let (items, names) = labels(&["b", "a", "c", "a"]);
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!([0, 1, 2, 3].map(|item| items.classes_of(item)[0]), [1, 0, 2, 0]);
        let (items, names) = labels(&["10", "9", "-1"]);
        assert_eq!(names, ["-1", "9", "10"]);
        assert_eq!([0, 1, 2].map(|item| items.classes_of(item)[0]), [2, 1, 0]);
    }
}
