//! A figure as shapes, and its form as SVG.

use askama::Template;

use crate::error::ReportError;

/// A figure. Lengths are in points; y grows downwards.
#[derive(Clone, Debug, Template)]
#[template(path = "figure.svg")]
pub struct Figure {
    /// What it shows, in one line; read out by screen readers.
    pub(crate) title: String,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
    /// The numbers behind it, where they are few enough to read.
    pub(crate) numbers: Option<Numbers>,
}

/// A figure's numbers as a table.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// A part of a figure. Classes let a page recolor it; the attributes are those of print.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A line, an area or both.
    Path {
        /// The path, written from numbers alone.
        d: String,
        class: String,
        fill: &'static str,
        stroke: &'static str,
        width: f64,
        /// Lengths of dashes and gaps; empty for a solid line.
        dash: &'static str,
        opacity: f64,
        /// Shown when pointed at.
        label: Option<String>,
    },
    /// A line of text.
    Text {
        x: f64,
        y: f64,
        text: String,
        /// `start`, `middle` or `end`.
        anchor: &'static str,
        size: f64,
        /// Whether it runs upwards.
        upwards: bool,
        class: &'static str,
        fill: &'static str,
    },
}

/// Color of text and axes.
pub(crate) const INK: &str = "#222222";
/// Color of lines behind the data.
pub(crate) const GRID: &str = "#dddddd";
/// Size of text in points.
pub(crate) const TEXT: f64 = 10.0;

impl Figure {
    /// The figure as a document of its own.
    ///
    /// # Errors
    /// [`ReportError::Template`], which would be a defect.
    pub fn to_svg(&self) -> Result<String, ReportError> {
        Ok(self.render()?)
    }

    /// What it shows, in one line.
    pub fn title(&self) -> &str {
        &self.title
    }
}

impl Shape {
    /// A line of the axes or, with `grid`, behind the data.
    pub(crate) fn rule(from: (f64, f64), to: (f64, f64), grid: bool) -> Self {
        let d = format!("M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1);
        let (class, stroke) = if grid { ("grid", GRID) } else { ("rule", INK) };
        Self::Path { d, class: class.to_owned(), fill: "none", stroke, width: 0.8, dash: "", opacity: 1.0, label: None }
    }

    /// A filled rectangle.
    pub(crate) fn cell((x, y): (f64, f64), (w, h): (f64, f64), fill: &'static str, label: String) -> Self {
        Self::Path {
            d: format!("M{x:.1} {y:.1}h{w:.1}v{h:.1}h{:.1}z", -w),
            class: "cell".to_owned(),
            fill,
            stroke: "none",
            width: 0.0,
            dash: "",
            opacity: 1.0,
            label: Some(label),
        }
    }

    /// Text in the color of ink.
    pub(crate) fn text((x, y): (f64, f64), text: impl Into<String>, anchor: &'static str) -> Self {
        Self::Text { x, y, text: text.into(), anchor, size: TEXT, upwards: false, class: "ink", fill: INK }
    }
}

/// A path through points.
pub(crate) fn path(points: &[(f64, f64)]) -> String {
    let step = |(i, (x, y)): (usize, &(f64, f64))| format!("{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    points.iter().enumerate().map(step).collect()
}
