//! Lines with bands over a common x axis, and a legend.

use super::axis::Axis;
use super::drawing::{Figure, Numbers, Shape, TEXT};
use super::series;

/// A chart of lines.
pub(crate) struct LineChart {
    /// What it shows, in one line.
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) x_scale: Scale,
    pub(crate) y_range: Range,
    pub(crate) series: Vec<Series>,
}

/// The x axis.
pub(crate) enum Scale {
    /// Equal differences are equal distances.
    Linear,
    /// Equal factors are equal distances; every x value is marked.
    LogAtValues,
}

/// The least extent of the y axis.
#[derive(Clone, Copy)]
pub(crate) enum Range {
    /// That of the data.
    Data,
    /// From 0.
    FromZero,
    /// From 0 to 1.
    Fraction,
}

/// A line.
pub(crate) struct Series {
    pub(crate) name: String,
    /// By ascending x, but for curves that run back and forth.
    pub(crate) points: Vec<Point>,
}

/// A point of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Half of the band's height: a deviation; 0 for none.
    pub(crate) spread: f64,
    /// The number of values that it is the mean of.
    pub(crate) n: usize,
}

/// Size of the area of data.
const AREA: (f64, f64) = (300.0, 200.0);
const LEFT: f64 = 52.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 38.0;
/// The mean width of a character.
const CHARACTER: f64 = 0.56 * TEXT;
const LEGEND_LINE: f64 = 15.0;
/// Characters of a name in the legend.
const LONGEST_NAME: usize = 30;
/// The most points of a line that get a mark each.
const MARKED: usize = 12;
/// The most numbers that are listed.
const LISTED: usize = 240;

impl LineChart {
    /// Lays the chart out; `None` where there is nothing to show.
    pub(crate) fn figure(mut self) -> Option<Figure> {
        self.series.retain(|s| !s.points.is_empty());
        let points = || self.series.iter().flat_map(|s| &s.points);
        points().next()?;
        let (x, y) = self.axes();
        let mut shapes = self.frame(&x, &y);
        for (i, line) in self.series.iter().enumerate() {
            shapes.extend(band(i, line, &x, &y));
        }
        for (i, line) in self.series.iter().enumerate() {
            shapes.extend(self.line(i, line, &x, &y));
        }
        let legend = self.legend(&mut shapes);
        let lines = if legend > 0.0 { self.series.len() as f64 * LEGEND_LINE } else { 0.0 };
        let height = TOP + AREA.1.max(lines) + BOTTOM;
        let numbers = (points().count() <= LISTED).then(|| self.numbers());
        Some(Figure { width: LEFT + AREA.0 + 12.0 + legend, height, shapes, numbers, title: self.title })
    }

    fn axes(&self) -> (Axis, Axis) {
        let points = || self.series.iter().flat_map(|s| &s.points);
        let bounds = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let places = (LEFT, LEFT + AREA.0);
        let x = match self.x_scale {
            Scale::Linear => {
                let (low, high) = bounds(&mut points().map(|p| p.x));
                Axis::tight(low, high, places, 6)
            }
            Scale::LogAtValues => {
                let mut ticks: Vec<f64> = points().map(|p| p.x).collect();
                ticks.sort_by(f64::total_cmp);
                ticks.dedup();
                Axis::log_at(ticks, places).inset(10.0)
            }
        };
        let (low, high) = bounds(&mut points().flat_map(|p| [p.y - p.spread, p.y + p.spread]));
        let (low, high) = match self.y_range {
            Range::Data => (low, high),
            Range::FromZero => (low.min(0.0), high),
            Range::Fraction => (0.0, 1.0),
        };
        (x, Axis::linear(low, high, (TOP + AREA.1, TOP), 5))
    }

    /// Grid, axes and their texts.
    fn frame(&self, x: &Axis, y: &Axis) -> Vec<Shape> {
        let (right, bottom) = (LEFT + AREA.0, TOP + AREA.1);
        let mut shapes = Vec::new();
        for &tick in &y.ticks {
            let at = y.place(tick);
            shapes.push(Shape::rule((LEFT, at), (right, at), true));
            shapes.push(Shape::text((LEFT - 6.0, at + 0.35 * TEXT), y.label(tick), "end"));
        }
        let mut free = f64::NEG_INFINITY;
        for &tick in &x.ticks {
            let (at, text) = (x.place(tick), x.label(tick));
            shapes.push(Shape::rule((at, bottom), (at, bottom + 4.0), false));
            let half = 0.5 * CHARACTER * text.len() as f64;
            if at - half > free {
                free = at + half + 3.0;
                shapes.push(Shape::text((at, bottom + 15.0), text, "middle"));
            }
        }
        shapes.push(Shape::rule((LEFT, bottom), (right, bottom), false));
        shapes.push(Shape::rule((LEFT, TOP), (LEFT, bottom), false));
        shapes.push(Shape::text((LEFT + 0.5 * AREA.0, bottom + 31.0), self.x.clone(), "middle"));
        let mut label = Shape::text((13.0, TOP + 0.5 * AREA.1), self.y.clone(), "middle");
        if let Shape::Text { upwards, .. } = &mut label {
            *upwards = true;
        }
        shapes.push(label);
        shapes
    }

    fn line(&self, i: usize, line: &Series, x: &Axis, y: &Axis) -> Vec<Shape> {
        let at: Vec<(f64, f64)> = line.points.iter().map(|p| (x.place(p.x), y.place(p.y))).collect();
        let every = line.points.len().div_ceil(MARKED);
        let label = |p: &Point| format!("{}; {} {}; {} {}", line.name, self.x, short(p.x), self.y, value(p));
        // Series start their marks at different points, so that lines that run together stay apart.
        let marked = at.iter().zip(&line.points).skip(if every > 1 { i % every } else { 0 }).step_by(every);
        let marks = marked.map(|(&at, p)| series::mark(i, at, Some(label(p))));
        [series::line(i, &at, Some(line.name.clone()))].into_iter().chain(marks).collect()
    }

    /// Draws the legend; returns its width.
    fn legend(&self, shapes: &mut Vec<Shape>) -> f64 {
        if self.series.len() < 2 {
            return 0.0;
        }
        let left = LEFT + AREA.0 + 14.0;
        let name = |s: &Series| shortened(&s.name, LONGEST_NAME);
        for (i, line) in self.series.iter().enumerate() {
            let at = TOP + 8.0 + LEGEND_LINE * i as f64;
            shapes.push(series::line(i, &[(left, at), (left + 24.0, at)], None));
            shapes.push(series::mark(i, (left + 12.0, at), None));
            shapes.push(Shape::text((left + 30.0, at + 0.35 * TEXT), name(line), "start"));
        }
        let longest = self.series.iter().map(|s| name(s).chars().count()).max().unwrap_or(0);
        34.0 + CHARACTER * longest as f64
    }

    fn numbers(&self) -> Numbers {
        let mut xs: Vec<f64> = self.series.iter().flat_map(|s| &s.points).map(|p| p.x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let at = |line: &Series, x: f64| line.points.iter().find(|p| p.x == x).map_or(String::new(), value);
        let row = |x: f64| [short(x)].into_iter().chain(self.series.iter().map(|s| at(s, x))).collect();
        let names = self.series.iter().map(|s| s.name.clone());
        Numbers {
            columns: [self.x.clone()].into_iter().chain(names).collect(),
            rows: xs.into_iter().map(row).collect(),
        }
    }
}

fn band(i: usize, line: &Series, x: &Axis, y: &Axis) -> Option<Shape> {
    let bound = |sign: f64| -> Vec<(f64, f64)> {
        line.points.iter().map(|p| (x.place(p.x), y.place(p.y + sign * p.spread))).collect()
    };
    line.points.iter().any(|p| p.spread > 0.0).then(|| series::band(i, &bound(-1.0), &bound(1.0)))
}

/// A point's value in words.
fn value(point: &Point) -> String {
    let spread = if point.spread > 0.0 { format!(" ± {:.3}", point.spread) } else { String::new() };
    let n = if point.n > 1 { format!(" (n={})", point.n) } else { String::new() };
    let mean = if point.y.abs() < 10.0 { format!("{:.3}", point.y) } else { short(point.y) };
    mean + &spread + &n
}

fn short(value: f64) -> String {
    let rounded = (value * 1000.0).round() / 1000.0;
    format!("{}", rounded + 0.0)
}

/// A text of at most so many characters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
