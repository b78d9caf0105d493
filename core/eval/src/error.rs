//! Errors of an evaluation.

/// Inconsistent input. Every message states the expected and the actual value.
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
    /// Grades do not end at the end of a query.
    #[error(
        "{len} grades are no whole number of queries of {items} items\n\
         help: pass an array of shape (queries, items) with at least one item"
    )]
    GradeRows {
        /// Grades in all.
        len: usize,
        /// Items per query.
        items: usize,
    },
    /// A packed code does not end at the end of an item.
    #[error(
        "{len} bytes of packed codes are no whole number of items of {bytes} bytes\n\
         help: pass the bytes of shape (n, {bytes}), row by row"
    )]
    PackedCodes {
        /// Bytes in all.
        len: usize,
        /// Bytes per item.
        bytes: usize,
    },
    /// Codes are longer than a ranking can tell apart.
    #[error("codes of {bits} bits are too long\nhelp: at most 4096 bits can be ranked")]
    Bits {
        /// Code length in bits.
        bits: usize,
    },
    /// A database that is read in parts holds another number of items than it said.
    #[error(
        "the database has {found} items where {expected} were announced\nhelp: it must not change while it is read"
    )]
    Changed {
        /// Items announced.
        expected: usize,
        /// Items read.
        found: usize,
    },
    /// There are no queries, or the database is empty.
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
    /// The depth K of mAP@K is 0.
    #[error("the depth of mAP is 0\nhelp: ranks count from 1; give no depth for the whole ranking")]
    Depth,
    /// An asymmetric query holds a value that is not a number.
    #[error("the real-valued query {item} is NaN at bit {bit}\nhelp: check the file that it comes from")]
    NanQuery {
        /// Query, counted from 0.
        item: usize,
        /// Bit, counted from 0.
        bit: usize,
    },
    /// The list of ranks holds 0.
    #[error("the list of ranks holds 0 at position {position}\nhelp: ranks count from 1")]
    Rank {
        /// Position in the list, counted from 0.
        position: usize,
    },
}
