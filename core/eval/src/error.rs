//! Why codes or labels cannot be evaluated.

/// Input that does not fit together. Every message says what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A chunk of relaxed codes does not end at the end of an item.
    #[error(
        "{values} relaxed values are no whole number of items of {bits} bits\n\
         help: pass the values of shape (n, {bits}), row by row"
    )]
    Chunk {
        /// Values in the chunk.
        values: usize,
        /// Code length in bits.
        bits: usize,
    },
    /// A relaxed code is not a number, so that it has no sign.
    #[error("the relaxed code of item {item} is NaN at bit {bit}\nhelp: training diverged; lower its learning rate")]
    NotANumber {
        /// Item, counted from 0 over all chunks.
        item: usize,
        /// Bit, counted from 0.
        bit: usize,
    },
    /// Packed labels do not end at the end of an item.
    #[error(
        "{len} words of packed labels are no whole number of items of {words} words\n\
         help: pass an array of shape (n, {words}) with at least one word per item"
    )]
    LabelWords {
        /// Words in all.
        len: usize,
        /// Words per item.
        words: usize,
    },
    /// There are no queries, or there is nothing to search in.
    #[error("the {side} holds no items\nhelp: a mean over nothing is not defined; check the split")]
    Empty {
        /// `query` or `database`.
        side: &'static str,
    },
    /// Codes and labels count different items.
    #[error("the {side} has {codes} codes but {labels} label sets\nhelp: encode and label the same items")]
    Items {
        /// `query` or `database`.
        side: &'static str,
        /// Number of codes.
        codes: usize,
        /// Number of label sets.
        labels: usize,
    },
    /// Query and database differ in width.
    #[error("the query has {query} {what}, the database {database}\nhelp: encode and label both in the same way")]
    Width {
        /// What is counted: `bits per code` or `words per label set`.
        what: &'static str,
        /// Found in the query.
        query: usize,
        /// Found in the database.
        database: usize,
    },
    /// The grid of depths asks for the first 0 items.
    #[error("the grid of depths holds 0 at position {position}\nhelp: depths count items from 1")]
    Depth {
        /// Position in the grid, counted from 0.
        position: usize,
    },
}
