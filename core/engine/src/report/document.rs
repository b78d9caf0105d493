//! A report before it takes a format: facts, tables and notes.

/// A report for people. Written in this order; `times` comes last, so that a report without it is a prefix.
pub(super) struct Document {
    /// One line.
    pub(super) title: String,
    /// What must be known to read the numbers: a name and a sentence each.
    pub(super) facts: Vec<(&'static str, String)>,
    /// What makes the numbers doubtful.
    pub(super) warnings: Vec<String>,
    /// The metric tables; at least one.
    pub(super) tables: Vec<Table>,
    /// Notes to the tables.
    pub(super) notes: Vec<Notes>,
    /// Wall-clock times and memory.
    pub(super) times: Option<Table>,
}

/// A table. The first column is the row's name.
pub(super) struct Table {
    /// One line.
    pub(super) title: String,
    /// Column headings.
    pub(super) columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub(super) rows: Vec<Vec<Content>>,
    /// What the marks that occur mean.
    pub(super) legend: Vec<(Mark, &'static str)>,
    /// Remarks on single values.
    pub(super) remarks: Vec<String>,
}

/// A list of notes under a heading.
pub(super) struct Notes {
    /// Heading.
    pub(super) title: &'static str,
    /// One line each.
    pub(super) lines: Vec<String>,
}

/// A cell's text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    /// The part that the mark applies to.
    pub(super) text: String,
    /// What follows it, e.g. ` ± 0.004 (2/3)`.
    pub(super) rest: String,
    /// Distinction.
    pub(super) mark: Mark,
}

/// A cell's distinction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
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
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

impl Table {
    /// Whether any cell of a column is marked.
    pub(super) fn has_marks(&self, column: usize) -> bool {
        self.rows.iter().any(|row| row[column].mark != Mark::Plain)
    }
}

/// Makes text from elsewhere (labels, error messages) fit a line: control characters become spaces.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}
