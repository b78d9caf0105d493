//! Rows of a table: captions and labels of items from the cells of columns.

use hashlab_settings::Violations;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::captions::Captions;
use super::labels::NamedLabels;

/// How label columns name classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LabelForm {
    /// A cell holds the name or number of a class, or a list of them.
    #[default]
    Names,
    /// A column is a class, and its cells are 0 or 1; a list holds a 0 or 1 for every class.
    Hot,
}

/// Columns of a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ColumnSettings {
    /// Column with the images. Not set: the items have none.
    pub image: Option<String>,
    /// Columns with captions; a cell holds a text or a list of texts. None: the items have no texts.
    pub captions: Vec<String>,
    /// Columns with labels.
    pub labels: Vec<String>,
    /// How label columns name classes: `names` (a cell holds the name or number of a class, or a list of them) or `hot`
    /// (a column is a class, its cells are 0 or 1; a list holds a 0 or 1 for every class).
    pub label_form: LabelForm,
    /// Text between several labels in a cell, e.g. `" "` or `","`. Not set: a cell is one label.
    pub label_separator: Option<String>,
}

impl ColumnSettings {
    /// Rules between the keys.
    pub(crate) fn check(&self) -> Violations {
        Violations::none()
            .require(
                self.label_separator.as_deref() != Some(""),
                ["label_separator"],
                "`label_separator` must not be empty; leave it out where a cell is one label",
            )
            .require(
                self.label_separator.is_none() || self.label_form == LabelForm::Names,
                ["label_separator", "label_form"],
                "`label_separator` belongs to labels by name",
            )
            .require(
                !self.labels.is_empty() || self.label_separator.is_none() && self.label_form == LabelForm::default(),
                ["label_separator", "label_form"],
                "`label_separator` and `label_form` say how to read `labels`, which names no column",
            )
    }

    /// A violation by a key that is about images, `set` if it is, where no column holds any.
    pub(crate) fn about_images(&self, key: &str, set: bool) -> Violations {
        let message = format!("`{key}` is about images, and `image` names no column");
        Violations::none().require(!set || self.image.is_some(), [key], message)
    }

    /// Names what is not set though nothing works without it; `None` if all is there.
    pub(crate) fn absent(&self) -> Option<(&'static str, &'static str)> {
        if self.image.is_none() && self.captions.is_empty() {
            return Some(("image", "image"));
        }
        None
    }
}

/// A value of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

impl Value {
    fn name(&self) -> String {
        match self {
            Self::Text(text) => text.trim().to_owned(),
            Self::Number(number) => number.to_string(),
        }
    }

    fn is_hot(&self) -> Option<bool> {
        match self.name().as_str() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }
    }
}

/// A cell: a value, a list of them, or nothing.
pub(crate) type Cell = Vec<Value>;

/// Collects captions and labels row by row.
pub(crate) struct Rows<'a> {
    columns: &'a ColumnSettings,
    pub(crate) captions: Captions,
    pub(crate) labels: NamedLabels,
    /// Length of lists of zeros and ones, once one was seen.
    width: Option<usize>,
}

impl<'a> Rows<'a> {
    /// Nothing collected yet.
    pub(crate) fn new(columns: &'a ColumnSettings) -> Self {
        Self { columns, captions: Captions::default(), labels: NamedLabels::default(), width: None }
    }

    /// The columns.
    pub(crate) fn columns(&self) -> &ColumnSettings {
        self.columns
    }

    /// Appends a row: its cells of the caption columns and of the label columns.
    ///
    /// # Errors
    /// What is wrong with a cell.
    pub(crate) fn push(&mut self, captions: &[Cell], labels: &[Cell]) -> Result<(), String> {
        let mut texts = Vec::new();
        for (column, value) in
            self.columns.captions.iter().zip(captions).flat_map(|(c, cell)| cell.iter().map(move |v| (c, v)))
        {
            match value {
                Value::Text(text) => texts.push(text.as_str()),
                Value::Number(number) => {
                    return Err(format!("column `{column}` holds {number} where a caption is expected"));
                }
            }
        }
        self.captions.push(texts);
        let classes = match self.columns.label_form {
            LabelForm::Names => self.named(labels),
            LabelForm::Hot => self.hot(labels)?,
        };
        self.labels.push(classes);
        Ok(())
    }

    fn named(&mut self, cells: &[Cell]) -> Vec<u32> {
        let mut classes = Vec::new();
        for (column, cell) in self.columns.labels.iter().zip(cells) {
            for value in cell {
                let cell = value.name();
                let names = match &self.columns.label_separator {
                    Some(separator) => cell.split(separator.as_str()).map(str::trim).map(str::to_owned).collect(),
                    None => vec![cell],
                };
                for name in names.iter().filter(|name| !name.is_empty()) {
                    // Equal values of different columns are different classes.
                    let class = match self.columns.labels.len() {
                        1 => self.labels.class(name),
                        _ => self.labels.class(&format!("{column}={name}")),
                    };
                    classes.push(class);
                }
            }
        }
        classes
    }

    fn hot(&mut self, cells: &[Cell]) -> Result<Vec<u32>, String> {
        let mut classes = Vec::new();
        let single = self.columns.labels.len() == 1;
        for (column, cell) in self.columns.labels.iter().zip(cells) {
            if single && !cell.is_empty() && *self.width.get_or_insert(cell.len()) != cell.len() {
                let width = self.width.unwrap_or(0);
                return Err(format!("column `{column}` holds {} values, {width} in the rows before", cell.len()));
            }
            for (at, value) in cell.iter().enumerate() {
                let hot = value.is_hot().ok_or_else(|| {
                    format!("column `{column}` holds `{}`, expected 0 or 1 (or `label_form = \"names\"`)", value.name())
                })?;
                let class = if single { self.labels.class(&at.to_string()) } else { self.labels.class(column) };
                if hot {
                    classes.push(class);
                }
            }
        }
        Ok(classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Cell {
        vec![Value::Text(text.to_owned())]
    }

    fn columns(labels: &[&str]) -> ColumnSettings {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        ColumnSettings { labels, captions: vec!["text".into()], ..ColumnSettings::default() }
    }

    #[test]
    fn names_of_several_columns_are_different_classes() {
        let columns = columns(&["kind", "color"]);
        let mut rows = Rows::new(&columns);
        rows.push(&[text("a")], &[text("red"), text("red")]).unwrap();
        rows.push(&[text("b")], &[text("blue"), Vec::new()]).unwrap();
        let (labels, names) = rows.labels.finish();
        assert_eq!(names, ["color=red", "kind=blue", "kind=red"]);
        assert_eq!([labels.classes_of(0), labels.classes_of(1)], [vec![0, 2], vec![1]]);
    }

    #[test]
    fn a_separator_divides_a_cell() {
        let columns = ColumnSettings { label_separator: Some(",".into()), ..columns(&["tags"]) };
        let mut rows = Rows::new(&columns);
        rows.push(&[text("a")], &[text("x, y,")]).unwrap();
        assert_eq!(rows.labels.finish().1, ["x", "y"]);
    }

    #[test]
    fn zeros_and_ones_are_classes_by_column_or_by_place() {
        let hot = ColumnSettings { label_form: LabelForm::Hot, ..columns(&["cat", "dog"]) };
        let mut rows = Rows::new(&hot);
        rows.push(&[text("a")], &[vec![Value::Number(0)], vec![Value::Number(1)]]).unwrap();
        let (labels, names) = rows.labels.finish();
        assert_eq!((names, labels.classes_of(0)), (vec!["cat".to_owned(), "dog".to_owned()], vec![1]));

        let list = ColumnSettings { label_form: LabelForm::Hot, ..columns(&["all"]) };
        let mut rows = Rows::new(&list);
        let cell = |values: &[i64]| vec![values.iter().map(|&value| Value::Number(value)).collect::<Cell>()];
        rows.push(&[text("a")], &cell(&[0, 0, 1])).unwrap();
        assert_eq!(
            rows.push(&[text("a")], &cell(&[0])).unwrap_err(),
            "column `all` holds 1 values, 3 in the rows before"
        );
        let wrong = rows.push(&[text("a")], &cell(&[0, 2, 0])).unwrap_err();
        assert_eq!(wrong, "column `all` holds `2`, expected 0 or 1 (or `label_form = \"names\"`)");
        let (labels, _) = rows.labels.finish();
        assert_eq!((labels.classes(), labels.classes_of(0)), (3, vec![2]));
    }

    #[test]
    fn a_caption_is_a_text() {
        let columns = columns(&[]);
        let mut rows = Rows::new(&columns);
        let wrong = rows.push(&[vec![Value::Number(3)]], &[]).unwrap_err();
        assert_eq!(wrong, "column `text` holds 3 where a caption is expected");
    }
}
