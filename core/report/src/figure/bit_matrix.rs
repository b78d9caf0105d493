//! Correlations between all pairs of bits: a triangle of shades.

use super::drawing::{Figure, Shape, TEXT};

/// The correlations of a run's bits.
pub(crate) struct BitMatrix<'a> {
    pub(crate) title: String,
    pub(crate) bits: usize,
    /// Of each bit with the bits before it, in hundredths: 1 with 0, 2 with 0, 2 with 1 …
    pub(crate) pairs: &'a [Option<i8>],
}

/// A range of correlations with its color: magnitudes in hundredths, from which on and below which.
struct Shade {
    name: &'static str,
    fill: &'static str,
    from: i8,
    below: i8,
}

/// Blue is positive, red negative, dark is strong; what is weaker than the first of each has the color of the ground.
const SHADES: [Shade; 9] = [
    Shade { name: "−0.6 or less", fill: "#67001f", from: -101, below: -59 },
    Shade { name: "−0.4 to −0.6", fill: "#b2182b", from: -59, below: -39 },
    Shade { name: "−0.2 to −0.4", fill: "#d6604d", from: -39, below: -19 },
    Shade { name: "−0.1 to −0.2", fill: "#f4a582", from: -19, below: -9 },
    Shade { name: "less than 0.1", fill: "#f4f4f4", from: -9, below: 10 },
    Shade { name: "0.1 to 0.2", fill: "#92c5de", from: 10, below: 20 },
    Shade { name: "0.2 to 0.4", fill: "#4393c3", from: 20, below: 40 },
    Shade { name: "0.4 to 0.6", fill: "#2166ac", from: 40, below: 60 },
    Shade { name: "0.6 or more", fill: "#053061", from: 60, below: 101 },
];

/// Pairs with a constant bit.
const NONE: (&str, &str) = ("a constant bit", "#bdbdbd");

/// Length of the sides of the triangle.
const SIDE: f64 = 320.0;
const LEFT: f64 = 34.0;
const TOP: f64 = 8.0;

impl BitMatrix<'_> {
    /// Lays the triangle out; none without pairs. A path holds all cells of a shade, so that a figure of 8,128 pairs has ten.
    pub(crate) fn figure(self) -> Option<Figure> {
        if self.bits < 2 || self.pairs.len() != self.bits * (self.bits - 1) / 2 {
            return None;
        }
        let mut shapes = Vec::new();
        let mut listed = 0;
        let shades = SHADES.iter().map(|shade| (shade.name, shade.fill, Some(shade)));
        for (name, fill, shade) in shades.chain([(NONE.0, NONE.1, None)]) {
            let (d, pairs) = self.cells(shade);
            if pairs > 0 {
                shapes.push(area(d, fill, format!("{name}: {pairs} of {} pairs", self.pairs.len())));
                let y = TOP + 18.0 * f64::from(listed);
                listed += 1;
                shapes.push(area(format!("M{:.1} {y:.1}h12v12h-12z", LEFT + SIDE + 18.0), fill, name.to_owned()));
                shapes.push(Shape::text((LEFT + SIDE + 36.0, y + 10.0), name, "start"));
            }
        }
        for bit in [0, self.bits / 2, self.bits - 1] {
            let middle = (bit as f64 + 0.5) * self.cell();
            shapes.push(Shape::text((LEFT - 6.0, TOP + middle + 0.35 * TEXT), bit.to_string(), "end"));
            shapes.push(Shape::text((LEFT + middle, TOP + SIDE + 14.0), bit.to_string(), "middle"));
        }
        shapes.push(Shape::text((LEFT + 0.5 * SIDE, TOP + SIDE + 30.0), "bit", "middle"));
        Some(Figure { title: self.title, width: LEFT + SIDE + 130.0, height: TOP + SIDE + 38.0, shapes, numbers: None })
    }

    fn cell(&self) -> f64 {
        SIDE / self.bits as f64
    }

    /// The cells of a shade as one path, and their number. Neighbors in a row are one rectangle.
    fn cells(&self, shade: Option<&Shade>) -> (String, usize) {
        let is_shade = |pair: &Option<i8>| match (pair, shade) {
            (Some(pair), Some(shade)) => (shade.from..shade.below).contains(pair),
            (None, None) => true,
            _ => false,
        };
        let (mut d, mut count, mut rest) = (String::new(), 0, self.pairs);
        for row in 1..self.bits {
            let (pairs, others) = rest.split_at(row);
            rest = others;
            let mut column = 0;
            for run in pairs.chunk_by(|a, b| is_shade(a) == is_shade(b)) {
                if is_shade(&run[0]) {
                    d += &self.rectangle(row, column, run.len());
                    count += run.len();
                }
                column += run.len();
            }
        }
        (d, count)
    }

    fn rectangle(&self, row: usize, column: usize, cells: usize) -> String {
        let [x, y] = [column, row].map(|at| at as f64 * self.cell());
        let (width, height) = (cells as f64 * self.cell(), self.cell());
        format!("M{:.1} {:.1}h{width:.1}v{height:.1}h-{width:.1}z", LEFT + x, TOP + y)
    }
}

fn area(d: String, fill: &'static str, label: String) -> Shape {
    let label = Some(label);
    Shape::Path { d, class: "cell".to_owned(), fill, stroke: "none", width: 0.0, dash: "", opacity: 1.0, label }
}
