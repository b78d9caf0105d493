//! Counts that show collapsed codes and constant bits.

use crate::Codes;

/// Counts over a list of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeCounts {
    /// Number of codes.
    pub items: usize,
    /// Different codes among them.
    pub distinct: usize,
    /// Items that share the most common code.
    pub most_common: usize,
    /// Bits that are the same in all codes: they carry no information.
    pub constant_bits: usize,
}

impl CodeCounts {
    /// Whether one code is that of more than half of the items.
    ///
    /// Ranking then says little, and metrics approach the share of relevant items.
    pub fn collapsed(&self) -> bool {
        2 * self.most_common > self.items
    }
}

impl Codes {
    /// Counts distinct codes, the most common one, and constant bits.
    ///
    /// ```
    /// # use hashlab_eval::Codes;
    /// let codes = Codes::from_signs(&[1.0, 1.0, -1.0, 1.0, 1.0, 1.0], 2)?; // 11, 01, 11
    /// let counts = codes.counts();
    /// assert_eq!((counts.distinct, counts.most_common, counts.constant_bits), (2, 2, 1));
    /// assert!(counts.collapsed());
    /// # Ok::<(), hashlab_eval::EvalError>(())
    /// ```
    pub fn counts(&self) -> CodeCounts {
        let (distinct, most_common) = match self.words() {
            1 => groups(self.packed().to_vec()),
            words => groups(self.packed().chunks_exact(words).collect()),
        };
        CodeCounts { items: self.len(), distinct, most_common, constant_bits: self.constant_bits() }
    }

    /// Counts the bits that are 1 in all codes or in none; 0 where there are no codes.
    fn constant_bits(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut differing = vec![0; self.words()];
        for code in self.packed().chunks_exact(self.words()) {
            for ((differing, word), first) in differing.iter_mut().zip(code).zip(self.item(0)) {
                *differing |= word ^ first;
            }
        }
        self.bits() - differing.iter().map(|word: &u64| word.count_ones() as usize).sum::<usize>()
    }
}

/// Counts different values, and the largest number of equal ones.
fn groups<T: Ord>(mut values: Vec<T>) -> (usize, usize) {
    values.sort_unstable();
    values.chunk_by(|a, b| a == b).fold((0, 0), |(groups, largest), group| (groups + 1, largest.max(group.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_any_width_are_counted_alike() {
        for bits in [3, 64, 65, 130] {
            // Three codes, of 4, 2 and 1 items, which differ in the last bit and the one before.
            let code = |kind: usize| (0..bits).map(move |bit| if bit + kind >= bits { -1.0 } else { 1.0 });
            let relaxed: Vec<f32> = [0, 1, 0, 2, 0, 1, 0].into_iter().flat_map(code).collect();
            let counts = Codes::from_signs(&relaxed, bits).unwrap().counts();
            assert_eq!(counts, CodeCounts { items: 7, distinct: 3, most_common: 4, constant_bits: bits - 2 });
            assert!(counts.collapsed());
        }
    }

    #[test]
    fn half_of_the_items_is_no_collapse() {
        let counts = Codes::from_signs(&[1.0, 1.0, -1.0, -1.0], 1).unwrap().counts();
        assert_eq!(counts, CodeCounts { items: 4, distinct: 2, most_common: 2, constant_bits: 0 });
        assert!(!counts.collapsed());
        let none = Codes::with_capacity(8, 0).counts();
        assert_eq!(none, CodeCounts { items: 0, distinct: 0, most_common: 0, constant_bits: 0 });
        assert!(!none.collapsed());
    }
}
