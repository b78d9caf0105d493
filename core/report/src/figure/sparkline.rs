//! A small line without axes.

use super::drawing::{Figure, Shape};
use super::series;

/// The most points drawn.
const POINTS: usize = 80;
const SIZE: (f64, f64) = (300.0, 56.0);
const PAD: f64 = 4.0;

/// A line with its first and last value; `None` for fewer than two points.
pub(crate) fn sparkline(title: &str, points: &[(f64, f64)]) -> Option<Figure> {
    let (first, last) = (points.first()?, points.last()?);
    let bound = |pick: fn(f64, f64) -> f64, of: fn(&(f64, f64)) -> f64| points.iter().map(of).reduce(pick);
    let (left, right) = (bound(f64::min, |p| p.0)?, bound(f64::max, |p| p.0)?);
    let (low, high) = (bound(f64::min, |p| p.1)?, bound(f64::max, |p| p.1)?);
    if right <= left {
        return None;
    }
    let height = if high > low { high - low } else { 1.0 };
    let place = |p: &(f64, f64)| {
        let x = PAD + (p.0 - left) / (right - left) * (SIZE.0 - 2.0 * PAD);
        (x, PAD + (high - p.1) / height * (SIZE.1 - 2.0 * PAD))
    };
    let every = points.len().div_ceil(POINTS);
    let drawn: Vec<(f64, f64)> = points
        .iter()
        .enumerate()
        .filter(|(i, _)| i % every == 0 || *i + 1 == points.len())
        .map(|(_, p)| place(p))
        .collect();
    let text = |value: f64, y: f64| Shape::text((SIZE.0 + 4.0, y), format!("{value:.4}"), "start");
    let title = format!("{title}: from {:.4} at {} to {:.4} at {}", first.1, first.0, last.1, last.0);
    let shapes = vec![series::line(0, &drawn, None), text(high, 12.0), text(low, SIZE.1 - 2.0)];
    Some(Figure { title, width: SIZE.0 + 70.0, height: SIZE.1, shapes, numbers: None })
}
