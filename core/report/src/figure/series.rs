//! The look of series: told apart by color, by dashes and by marks, so that print in black and white keeps them.

use super::drawing::{Shape, path};

/// Colors of Okabe and Ito's palette for all kinds of color vision, the light ones darkened to stand on white.
pub(crate) const COLORS: [&str; 7] = ["#0072b2", "#d55e00", "#00855f", "#b4518a", "#4d4d4d", "#a87400", "#3585b8"];

/// Dashes and gaps.
const DASHES: [&str; 4] = ["", "5 2.5", "1.5 2", "7 2 1.5 2"];

/// Kinds of marks.
const MARKS: usize = 8;

/// Half of a mark's width.
const RADIUS: f64 = 2.6;

/// The color of a series.
pub(crate) fn color(series: usize) -> &'static str {
    COLORS[series % COLORS.len()]
}

fn class(kind: &str, series: usize) -> String {
    format!("{kind}{}", series % COLORS.len())
}

/// A series' line.
pub(crate) fn line(series: usize, points: &[(f64, f64)], label: Option<String>) -> Shape {
    Shape::Path {
        d: path(points),
        class: class("stroke", series),
        fill: "none",
        stroke: color(series),
        width: 1.4,
        dash: DASHES[series % DASHES.len()],
        opacity: 1.0,
        label,
    }
}

/// The area between a series' bounds, both from left to right.
pub(crate) fn band(series: usize, lower: &[(f64, f64)], upper: &[(f64, f64)]) -> Shape {
    let around: Vec<(f64, f64)> = lower.iter().chain(upper.iter().rev()).copied().collect();
    Shape::Path {
        d: path(&around) + "z",
        class: class("fill", series),
        fill: color(series),
        stroke: "none",
        width: 0.0,
        dash: "",
        opacity: 0.18,
        label: None,
    }
}

/// A series' mark at a point: eight kinds, the last three of lines alone.
pub(crate) fn mark(series: usize, (x, y): (f64, f64), label: Option<String>) -> Shape {
    let r = RADIUS;
    let filled = series % MARKS < 5;
    let d = match series % MARKS {
        0 => format!("M{:.1} {y:.1}a{r} {r} 0 1 0 {d:.1} 0a{r} {r} 0 1 0 {:.1} 0z", x - r, -2.0 * r, d = 2.0 * r),
        1 => format!("M{:.1} {:.1}h{d:.1}v{d:.1}h{:.1}z", x - r, y - r, -2.0 * r, d = 2.0 * r),
        2 => path(&[(x, y - 1.3 * r), (x + 1.2 * r, y + r), (x - 1.2 * r, y + r)]) + "z",
        3 => path(&[(x, y - 1.4 * r), (x + 1.4 * r, y), (x, y + 1.4 * r), (x - 1.4 * r, y)]) + "z",
        4 => path(&[(x, y + 1.3 * r), (x + 1.2 * r, y - r), (x - 1.2 * r, y - r)]) + "z",
        5 => path(&[(x - r, y - r), (x + r, y + r)]) + &path(&[(x - r, y + r), (x + r, y - r)]),
        6 => path(&[(x - 1.3 * r, y), (x + 1.3 * r, y)]) + &path(&[(x, y - 1.3 * r), (x, y + 1.3 * r)]),
        _ => path(&[(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]) + "z",
    };
    Shape::Path {
        d,
        class: if filled { class("fill", series) } else { class("stroke", series) },
        fill: if filled { color(series) } else { "none" },
        stroke: if filled { "none" } else { color(series) },
        width: 1.3,
        dash: "",
        opacity: 1.0,
        label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linear red, green and blue.
    fn linear(color: &str) -> [f64; 3] {
        let channel = |i: usize| f64::from(u8::from_str_radix(&color[i..i + 2], 16).unwrap()) / 255.0;
        [1, 3, 5].map(|i| {
            let c = channel(i);
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn luminance([r, g, b]: [f64; 3]) -> f64 {
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn colors_stand_on_white() {
        for color in COLORS {
            let contrast = 1.05 / (luminance(linear(color)) + 0.05);
            assert!(contrast >= 3.0, "{color}: {contrast:.2}, WCAG 2.1 asks for 3 of graphics");
        }
    }

    #[test]
    fn series_differ_without_color() {
        let look = |series| format!("{:?}", (DASHES[series % DASHES.len()], series % MARKS));
        let looks: std::collections::BTreeSet<String> = (0..8).map(look).collect();
        assert_eq!(looks.len(), 8);
    }

    /// Machado, Oliveira, Fernandes (2009), severity 1: protanopia, deuteranopia.
    const BLINDNESS: [[[f64; 3]; 3]; 2] = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ];

    /// CIE L*a*b* of linear RGB.
    fn lab([r, g, b]: [f64; 3]) -> [f64; 3] {
        let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
        let y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
        let z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn the_first_five_colors_differ_for_the_color_blind() {
        for matrix in BLINDNESS {
            let seen = COLORS.map(|color| {
                let rgb = linear(color);
                lab(matrix.map(|row| row.iter().zip(rgb).map(|(m, c)| m * c).sum::<f64>().clamp(0.0, 1.0)))
            });
            for (i, a) in seen[..5].iter().enumerate() {
                for (j, b) in seen[..i].iter().enumerate() {
                    let distance = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    assert!(distance > 10.0, "{} and {}: {distance:.1}", COLORS[i], COLORS[j]);
                }
            }
        }
    }
}
