//! Parallel coordinates: a line per setting across its hyperparameters to its metric.

use super::axis::Axis;
use super::drawing::{Figure, Shape, TEXT, path};
use super::line_chart::shortened;

/// A chart of parallel coordinates.
pub(crate) struct Parallel {
    pub(crate) title: String,
    /// Names of the hyperparameters, each with its values in order.
    pub(crate) keys: Vec<(String, Vec<String>)>,
    pub(crate) metric: String,
    pub(crate) lines: Vec<ParallelLine>,
}

/// A setting.
pub(crate) struct ParallelLine {
    /// The index of its value, by key.
    pub(crate) values: Vec<usize>,
    pub(crate) metric: f64,
}

const GAP: f64 = 92.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 26.0;
/// From the worst to the best lines; the best are the darkest and the thickest.
const TIERS: [(&str, f64, f64); 4] =
    [("#a6bddb", 0.8, 0.65), ("#67a9cf", 1.0, 0.75), ("#1c7fb8", 1.3, 0.85), ("#014636", 2.0, 1.0)];

impl Parallel {
    /// Lays the chart out; `None` without lines or keys.
    pub(crate) fn figure(mut self) -> Option<Figure> {
        if self.lines.is_empty() || self.keys.is_empty() {
            return None;
        }
        // The best lines lie on top.
        self.lines.sort_by(|a, b| a.metric.total_cmp(&b.metric));
        let (low, high) = (self.lines[0].metric, self.lines[self.lines.len() - 1].metric);
        let metric = Axis::linear(low, high, (TOP + HEIGHT, TOP), 5);
        let mut shapes = Vec::new();
        let count = self.lines.len();
        for (rank, line) in self.lines.iter().enumerate() {
            shapes.push(self.line(line, (rank * TIERS.len()) / count, &metric));
        }
        for (i, (key, values)) in self.keys.iter().enumerate() {
            let x = LEFT + GAP * i as f64;
            let ticks = values.iter().enumerate().map(|(at, value)| (place(at, values.len()), shortened(value, 13)));
            shapes.extend(axis(x, key, ticks));
        }
        let ticks = metric.ticks.iter().map(|&tick| (metric.place(tick), metric.label(tick)));
        shapes.extend(axis(LEFT + GAP * self.keys.len() as f64, &self.metric, ticks));
        let width = LEFT + GAP * self.keys.len() as f64 + 60.0;
        Some(Figure { width, height: TOP + HEIGHT + 14.0, shapes, numbers: None, title: self.title })
    }

    fn line(&self, line: &ParallelLine, tier: usize, metric: &Axis) -> Shape {
        let at = |(i, &value): (usize, &usize)| (LEFT + GAP * i as f64, place(value, self.keys[i].1.len()));
        let end = (LEFT + GAP * self.keys.len() as f64, metric.place(line.metric));
        let points: Vec<(f64, f64)> = line.values.iter().enumerate().map(at).chain([end]).collect();
        let (stroke, width, opacity) = TIERS[tier];
        let values = self.keys.iter().zip(&line.values).map(|((key, values), &v)| format!("{key}={}", values[v]));
        let label = format!("{}: {} {:.3}", values.collect::<Vec<_>>().join(" "), self.metric, line.metric);
        Shape::Path {
            d: path(&points),
            class: format!("tier{tier}"),
            fill: "none",
            stroke,
            width,
            dash: "",
            opacity,
            label: Some(label),
        }
    }
}

/// The height of a value among so many, the first at the bottom.
fn place(index: usize, values: usize) -> f64 {
    let share = if values < 2 { 0.5 } else { index as f64 / (values - 1) as f64 };
    TOP + HEIGHT * (1.0 - share)
}

fn axis(x: f64, name: &str, ticks: impl Iterator<Item = (f64, String)>) -> Vec<Shape> {
    let mut shapes = vec![
        Shape::rule((x, TOP), (x, TOP + HEIGHT), false),
        Shape::text((x, TOP - 14.0), shortened(name, 18), "middle"),
    ];
    let mut last = f64::INFINITY;
    for (y, text) in ticks {
        shapes.push(Shape::rule((x - 3.0, y), (x + 3.0, y), false));
        if (last - y).abs() >= TEXT {
            last = y;
            let mut label = Shape::text((x + 5.0, y + 0.35 * TEXT), text, "start");
            if let Shape::Text { class, .. } = &mut label {
                *class = "ink halo";
            }
            shapes.push(label);
        }
    }
    shapes
}
