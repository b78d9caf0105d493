//! Labels of many items as bit sets.

/// One set of class labels per item, packed into 64-bit words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    classes: usize,
    words: usize,
    bits: Vec<u64>,
}

impl Labels {
    /// Packs single labels.
    ///
    /// # Panics
    /// If a label is not below `classes`.
    pub fn single(classes: usize, labels: impl IntoIterator<Item = usize>) -> Self {
        Self::multi(classes, labels.into_iter().map(|label| [label]))
    }

    /// Packs sets of labels.
    ///
    /// # Panics
    /// If a label is not below `classes`.
    pub fn multi<S: IntoIterator<Item = usize>>(classes: usize, sets: impl IntoIterator<Item = S>) -> Self {
        let words = classes.div_ceil(64).max(1);
        let mut bits = Vec::new();
        for set in sets {
            let start = bits.len();
            bits.resize(start + words, 0);
            for label in set {
                assert!(label < classes, "label {label} is outside of {classes} classes");
                bits[start + label / 64] |= 1 << (label % 64);
            }
        }
        Self { classes, words, bits }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.bits.len() / self.words
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Words per item.
    pub fn words(&self) -> usize {
        self.words
    }

    /// The packed labels of item `index`.
    pub fn item(&self, index: usize) -> &[u64] {
        &self.bits[index * self.words..(index + 1) * self.words]
    }

    /// Whether item `index` is of class `class`.
    pub fn has(&self, index: usize, class: usize) -> bool {
        self.item(index)[class / 64] >> (class % 64) & 1 == 1
    }

    /// The classes of item `index`, ascending.
    pub fn classes_of(&self, index: usize) -> Vec<usize> {
        let words = self.item(index).iter().enumerate().filter(|(_, word)| **word != 0);
        words
            .flat_map(|(at, word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| 64 * at + bit))
            .collect()
    }

    /// The items of class `class`, ascending.
    pub fn of_class(&self, class: usize) -> Vec<u32> {
        (0..self.len()).filter(|&index| self.has(index, class)).map(|index| index as u32).collect()
    }

    /// Copies the packed labels of `items`, in their order, into one row-major array.
    pub fn gather(&self, items: &[u32]) -> Vec<u64> {
        items.iter().flat_map(|&i| self.item(i as usize)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_back_as_they_were_packed() {
        let sets = [vec![0, 63], vec![], vec![64, 69]];
        let labels = Labels::multi(70, sets.clone());
        assert_eq!((labels.len(), labels.words()), (3, 2));
        for (index, set) in sets.iter().enumerate() {
            assert_eq!(&labels.classes_of(index), set);
        }
        assert_eq!(labels.gather(&[2, 0]), [0, 0b10_0001, 1 | 1 << 63, 0]);
        assert_eq!(labels.of_class(63), [0]);
        assert!(labels.of_class(1).is_empty());
    }
}
