//! A metric over two hyperparameters: shades, with the number in every cell.

use super::drawing::{Figure, INK, Numbers, Shape, TEXT};
use super::line_chart::shortened;

/// A heat map. Cells are listed row by row.
pub(crate) struct HeatMap {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<String>,
    /// Mean and number of values; none where nothing was measured.
    pub(crate) cells: Vec<Vec<Option<(f64, usize)>>>,
}

/// From low to high; lightness falls evenly, so that print in black and white keeps the order.
const SHADES: [&str; 9] =
    ["#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b"];
/// The first shade on which text is white.
const DARK: usize = 5;
const EMPTY: &str = "#eeeeee";
const CELL: (f64, f64) = (62.0, 30.0);
const LONGEST: usize = 14;

impl HeatMap {
    /// Lays the map out.
    pub(crate) fn figure(self) -> Figure {
        let longest = self.rows.iter().map(|r| r.chars().count().min(LONGEST)).max().unwrap_or(0);
        let left = 30.0 + 0.58 * TEXT * longest as f64;
        let (width, height) = (CELL.0 * self.columns.len() as f64, CELL.1 * self.rows.len() as f64);
        let top = 6.0;
        let mut shapes = Vec::new();
        let values = || self.cells.iter().flatten().flatten().map(|(mean, _)| *mean);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        for (r, row) in self.cells.iter().enumerate() {
            let y = top + CELL.1 * r as f64;
            let name = shortened(&self.rows[r], LONGEST);
            shapes.push(Shape::text((left - 6.0, y + 0.5 * CELL.1 + 0.35 * TEXT), name, "end"));
            for (c, cell) in row.iter().enumerate() {
                let x = left + CELL.0 * c as f64;
                shapes.extend(self.cell((x, y), (r, c), *cell, (low, high)));
            }
        }
        for (c, name) in self.columns.iter().enumerate() {
            let x = left + CELL.0 * (c as f64 + 0.5);
            shapes.push(Shape::text((x, top + height + 15.0), shortened(name, 10), "middle"));
        }
        shapes.push(Shape::text((left + 0.5 * width, top + height + 31.0), self.x.clone(), "middle"));
        let mut label = Shape::text((13.0, top + 0.5 * height), self.y.clone(), "middle");
        if let Shape::Text { upwards, .. } = &mut label {
            *upwards = true;
        }
        shapes.push(label);
        // The text at the side may be longer than the cells are high.
        let height = (top + height + 38.0).max(0.58 * TEXT * self.y.chars().count() as f64 + 38.0);
        Figure { width: left + width + 8.0, height, shapes, numbers: Some(self.numbers()), title: self.title }
    }

    fn cell(
        &self,
        at: (f64, f64),
        (row, column): (usize, usize),
        cell: Option<(f64, usize)>,
        (low, high): (f64, f64),
    ) -> [Shape; 2] {
        let place = format!("{} {}, {} {}", self.y, self.rows[row], self.x, self.columns[column]);
        let shade = |mean: f64| {
            let share = if high > low { (mean - low) / (high - low) } else { 0.5 };
            ((share * SHADES.len() as f64) as usize).min(SHADES.len() - 1)
        };
        let (fill, label, text, ink) = match cell {
            None => (EMPTY, format!("{place}: not measured"), "–".to_owned(), INK),
            Some((mean, n)) => {
                let ink = if shade(mean) < DARK { INK } else { "#ffffff" };
                (SHADES[shade(mean)], format!("{place}: {mean:.3} (n={n})"), format!("{mean:.3}"), ink)
            }
        };
        let middle = (at.0 + 0.5 * CELL.0, at.1 + 0.5 * CELL.1 + 0.35 * TEXT);
        let mut text = Shape::text(middle, text, "middle");
        if let Shape::Text { class, fill, .. } = &mut text {
            (*class, *fill) = ("fixed", ink);
        }
        [Shape::cell((at.0 + 0.5, at.1 + 0.5), (CELL.0 - 1.0, CELL.1 - 1.0), fill, label), text]
    }

    fn numbers(&self) -> Numbers {
        let text =
            |cell: &Option<(f64, usize)>| cell.map_or("–".to_owned(), |(mean, n)| format!("{mean:.3} (n={n})"));
        let row =
            |(name, cells): (&String, &Vec<_>)| [name.clone()].into_iter().chain(cells.iter().map(text)).collect();
        Numbers {
            columns: [format!("{} \\ {}", self.y, self.x)].into_iter().chain(self.columns.clone()).collect(),
            rows: self.rows.iter().zip(&self.cells).map(row).collect(),
        }
    }
}
