//! A report before it takes a format: facts, warnings, tables and notes.

/// A name and a sentence.
pub(crate) type Fact = (String, String);

/// A report for people. Written in this order; `times` comes last, so that a report without it is a prefix.
pub(crate) struct Document {
    /// One line, e.g. `CIFAR-10 (protocol cibhash): mAP@1000`.
    pub(crate) title: String,
    /// What cells hold, in one sentence.
    pub(crate) cells: String,
    /// What must be known to read the numbers.
    pub(crate) facts: Vec<Fact>,
    /// What makes the numbers doubtful.
    pub(crate) warnings: Vec<String>,
    /// The metric tables; at least one.
    pub(crate) tables: Vec<Table>,
    /// Notes to the tables.
    pub(crate) notes: Vec<Notes>,
    /// Wall-clock times and memory.
    pub(crate) times: Vec<Table>,
}

/// A table. The first column is the row's name.
#[derive(Default)]
pub(crate) struct Table {
    /// One line.
    pub(crate) title: String,
    /// Headings above several columns; empty, or covering the last columns.
    pub(crate) groups: Vec<Group>,
    /// Column headings.
    pub(crate) columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub(crate) rows: Vec<Vec<Content>>,
    /// Titles of the blocks that rows fall into, each with its first row; empty, or one for row 0 and more.
    pub(crate) blocks: Vec<(usize, String)>,
    /// What the marks that occur mean.
    pub(crate) legend: Vec<(Mark, &'static str)>,
    /// Remarks on single values.
    pub(crate) remarks: Vec<String>,
}

/// A heading above neighboring columns.
pub(crate) struct Group {
    /// The heading.
    pub(crate) title: String,
    /// Number of columns.
    pub(crate) columns: usize,
}

/// A list of notes under a heading.
pub(crate) struct Notes {
    /// Heading.
    pub(crate) title: &'static str,
    /// One line each; two spaces indent a line.
    pub(crate) lines: Vec<String>,
}

/// A cell's text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    /// The part that the mark applies to.
    pub(crate) text: String,
    /// What follows it, e.g. ` ± 0.004 (2/3)`.
    pub(crate) rest: String,
    /// Distinction.
    pub(crate) mark: Mark,
}

/// A cell's distinction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    /// None.
    #[default]
    Plain,
    /// Bold.
    Bold,
    /// Underlined.
    Underlined,
}

impl Content {
    /// Unmarked text.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

impl Table {
    /// Whether any cell of a column is marked.
    pub(crate) fn has_marks(&self, column: usize) -> bool {
        self.rows.iter().any(|row| row[column].mark != Mark::Plain)
    }

    /// The rows, each with the title of the block that it opens.
    pub(crate) fn titled_rows(&self) -> impl Iterator<Item = (Option<&str>, &[Content])> {
        let title = |row: usize| self.blocks.iter().find(|(first, _)| *first == row).map(|(_, title)| title.as_str());
        self.rows.iter().enumerate().map(move |(at, row)| (title(at), row.as_slice()))
    }

    /// Columns before the first group.
    pub(crate) fn ungrouped(&self) -> usize {
        self.columns.len() - self.groups.iter().map(|g| g.columns).sum::<usize>()
    }
}
