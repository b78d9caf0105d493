//! Many short lists in one piece of memory each: a million paths cost their bytes and four more.

/// Strings by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strings {
    text: String,
    ends: Lists<()>,
}

/// Ends of lists that follow each other.
#[derive(Clone, Debug)]
pub(crate) struct Lists<T> {
    values: Vec<T>,
    ends: Vec<u64>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { values: Vec::new(), ends: Vec::new() }
    }
}

impl<T> Lists<T> {
    /// Appends a list.
    pub(crate) fn push(&mut self, list: impl IntoIterator<Item = T>) {
        self.values.extend(list);
        self.ends.push(self.values.len() as u64);
    }

    /// Number of lists.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// List number `index`.
    pub(crate) fn get(&self, index: usize) -> &[T] {
        &self.values[self.range(index)]
    }

    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[index] as usize
    }
}

impl Strings {
    /// Appends a string.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.ends.push(self.text.len() as u64);
    }

    /// Number of strings.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// String number `index`.
    pub(crate) fn get(&self, index: usize) -> &str {
        &self.text[self.ends.range(index)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_lists_come_back() {
        let mut strings = Strings::default();
        ["ab", "", "ç"].into_iter().for_each(|text| strings.push(text));
        assert_eq!([0, 1, 2].map(|index| strings.get(index)), ["ab", "", "ç"]);
        let mut lists = Lists::default();
        lists.push([1, 2]);
        lists.push([]);
        lists.push([3]);
        assert_eq!((lists.len(), lists.get(0), lists.get(1), lists.get(2)), (3, &[1, 2][..], &[][..], &[3][..]));
    }
}
