//! Figures as files for papers.

use std::str::FromStr;
use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, WriteOptions, fontdb};

use super::drawing::Figure;
use crate::error::ReportError;

/// The format of a figure's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Text stays text, in the reader's fonts.
    Svg,
    /// Text is outlines, so that no font need be embedded.
    Pdf,
    /// Three pixels per point.
    Png,
}

/// Pixels per point of a PNG.
const SCALE: f32 = 3.0;

impl FileFormat {
    const ALL: [(&'static str, Self); 3] = [("svg", Self::Svg), ("pdf", Self::Pdf), ("png", Self::Png)];
}

impl FromStr for FileFormat {
    type Err = ReportError;

    /// Reads the ending of a file's name.
    fn from_str(ending: &str) -> Result<Self, ReportError> {
        let found = Self::ALL.into_iter().find(|(known, _)| ending.eq_ignore_ascii_case(known));
        found.map(|(_, format)| format).ok_or_else(|| ReportError::UnknownFileFormat { given: ending.to_owned() })
    }
}

impl Figure {
    /// The figure in a format.
    ///
    /// # Errors
    /// [`ReportError::NoFont`] if text must become outlines and the system has no font;
    /// [`ReportError::Template`] or [`ReportError::Figure`], which would be defects.
    pub fn to_file(&self, format: FileFormat) -> Result<Vec<u8>, ReportError> {
        let svg = self.to_svg()?;
        match format {
            FileFormat::Svg => Ok(svg.into_bytes()),
            FileFormat::Pdf => pdf(&svg),
            FileFormat::Png => png(&svg),
        }
    }
}

/// Reads an SVG with the system's fonts.
fn tree(svg: &str) -> Result<Tree, ReportError> {
    let mut fonts = fontdb::Database::new();
    fonts.load_system_fonts();
    let sans = ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans", "Noto Sans"];
    let known = |name: &&&str| {
        let query = fontdb::Query { families: &[fontdb::Family::Name(name)], ..fontdb::Query::default() };
        fonts.query(&query).is_some()
    };
    let name = match sans.iter().find(known) {
        Some(name) => (*name).to_owned(),
        None => {
            fonts.faces().next().and_then(|face| Some(face.families.first()?.0.clone())).ok_or(ReportError::NoFont)?
        }
    };
    fonts.set_sans_serif_family(&name);
    let options = Options { font_family: name, fontdb: Arc::new(fonts), ..Options::default() };
    Tree::from_str(svg, &options).map_err(|error| ReportError::Figure(error.to_string()))
}

fn pdf(svg: &str) -> Result<Vec<u8>, ReportError> {
    // Written once more, with text as outlines: embedding fonts would double what the program takes to build.
    let outlines = tree(svg)?.to_string(&WriteOptions::default());
    let tree = svg2pdf::usvg::Tree::from_str(&outlines, &svg2pdf::usvg::Options::default());
    let tree = tree.map_err(|error| ReportError::Figure(error.to_string()))?;
    // A unit of the figure is a point.
    let page = svg2pdf::PageOptions { dpi: 72.0 };
    svg2pdf::to_pdf(&tree, svg2pdf::ConversionOptions::default(), page)
        .map_err(|error| ReportError::Figure(error.to_string()))
}

fn png(svg: &str) -> Result<Vec<u8>, ReportError> {
    let tree = tree(svg)?;
    let pixels = |length: f32| (length * SCALE).ceil() as u32;
    let size = tree.size();
    let mut picture = Pixmap::new(pixels(size.width()), pixels(size.height()))
        .ok_or_else(|| ReportError::Figure("it has no area".to_owned()))?;
    picture.fill(resvg::tiny_skia::Color::WHITE);
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    picture.encode_png().map_err(|error| ReportError::Figure(error.to_string()))
}
