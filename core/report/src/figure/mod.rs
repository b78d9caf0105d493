//! Figures of a sweep as SVG: legible in print, in black and white, and for every kind of color vision.

mod axis;
mod bit_matrix;
mod drawing;
mod file;
mod heat_map;
mod line_chart;
mod parallel;
mod series;
mod sparkline;

pub(crate) use bit_matrix::BitMatrix;
pub use drawing::Figure;
pub use file::FileFormat;
pub(crate) use heat_map::HeatMap;
pub(crate) use line_chart::{LineChart, Point, Range, Scale, Series};
pub(crate) use parallel::{Parallel, ParallelLine};
pub(crate) use sparkline::sparkline;
