//! From a scene to pixels.

use hashlab_data::Rgb;
use hashlab_rng::{Stream, stream};

use super::scene::{Kind, Scene, Shape};

/// Cells of the ground's texture along a side.
const CELLS: usize = 5;
/// Samples per pixel along a side, for smooth edges.
const SAMPLES: usize = 4;

/// Paints `scene` over a textured ground of its own, `size` × `size` pixels.
pub(super) fn render(scene: &Scene, seed: u64, index: usize, size: usize) -> Rgb {
    let mut canvas = ground(&mut stream(seed, "shapes/ground", &[index as u64]), size);
    for shape in &scene.shapes {
        paint(shape, &mut canvas, size);
    }
    let pixels = canvas.into_iter().flatten().map(|value| (value + 0.5).clamp(0.0, 255.0) as u8).collect();
    Rgb { width: size, height: size, pixels }
}

/// A tinted grey with a coarse texture, interpolated between the corners of cells, and noise on every pixel.
fn ground(rng: &mut Stream, size: usize) -> Vec<[f64; 3]> {
    let grey = rng.uniform_in(70.0, 185.0);
    let tint = [0; 3].map(|_| grey + rng.uniform_in(-12.0, 12.0));
    let corners: Vec<f64> = (0..(CELLS + 1) * (CELLS + 1)).map(|_| rng.uniform_in(-25.0, 25.0)).collect();
    let mut canvas = Vec::with_capacity(size * size);
    for y in 0..size {
        for x in 0..size {
            let light = interpolate(&corners, unit(x, size), unit(y, size)) + rng.uniform_in(-12.0, 12.0);
            canvas.push(tint.map(|value| value + light));
        }
    }
    canvas
}

/// Interpolates linearly between the four corners of the cell at (x, y), fractions of the side.
fn interpolate(corners: &[f64], x: f64, y: f64) -> f64 {
    let (x, y) = (x * CELLS as f64, y * CELLS as f64);
    let (column, row) = (x as usize, y as usize);
    let (right, down) = (x - column as f64, y - row as f64);
    let corner = |dx: usize, dy: usize| corners[(row + dy) * (CELLS + 1) + column + dx];
    let top = corner(0, 0) * (1.0 - right) + corner(1, 0) * right;
    let bottom = corner(0, 1) * (1.0 - right) + corner(1, 1) * right;
    top * (1.0 - down) + bottom * down
}

/// Blends the shape over the pixels of its bounding box, by the share of each pixel that it covers.
fn paint(shape: &Shape, canvas: &mut [[f64; 3]], size: usize) {
    let reach = |centre: f64| {
        let edge = |at: f64| (at * size as f64).clamp(0.0, size as f64) as usize;
        edge(centre - shape.radius)..(edge(centre + shape.radius) + 1).min(size)
    };
    for y in reach(shape.centre[1]) {
        for x in reach(shape.centre[0]) {
            let share = coverage(shape, x, y, size);
            for (value, colour) in canvas[y * size + x].iter_mut().zip(shape.colour) {
                *value += share * (colour - *value);
            }
        }
    }
}

/// The share of pixel (x, y) that the shape covers.
fn coverage(shape: &Shape, x: usize, y: usize, size: usize) -> f64 {
    let fine = SAMPLES * size;
    let inside = (0..SAMPLES * SAMPLES).filter(|sample| {
        let at = [unit(SAMPLES * x + sample % SAMPLES, fine), unit(SAMPLES * y + sample / SAMPLES, fine)];
        covers(shape, at)
    });
    inside.count() as f64 / (SAMPLES * SAMPLES) as f64
}

/// The centre of cell `at` of `count` along a side of length 1.
fn unit(at: usize, count: usize) -> f64 {
    (at as f64 + 0.5) / count as f64
}

/// Whether the shape covers the point.
fn covers(shape: &Shape, at: [f64; 2]) -> bool {
    let [cos, sin] = shape.turn;
    let [x, y] = [0, 1].map(|axis| (at[axis] - shape.centre[axis]) / shape.radius);
    let [u, v] = [cos * x + sin * y, cos * y - sin * x];
    match shape.kind() {
        Kind::Circle => u * u + v * v <= 0.81,
        Kind::Square => u.abs().max(v.abs()) <= 0.75,
        Kind::Triangle => beyond(&THIRDS, 0.5, u, v) == 0,
        // A pentagram is all that lies beyond at most one of its five lines.
        Kind::Star => beyond(&FIFTHS, FIFTHS[1][0], u, v) <= 1,
    }
}

/// Unit vectors at thirds of a turn.
const THIRDS: [[f64; 2]; 3] = [[1.0, 0.0], [-0.5, 0.866_025_403_784_438_6], [-0.5, -0.866_025_403_784_438_6]];
/// Unit vectors at fifths of a turn.
const FIFTHS: [[f64; 2]; 5] = [
    [1.0, 0.0],
    [0.309_016_994_374_947_4, 0.951_056_516_295_153_5],
    [-0.809_016_994_374_947_4, 0.587_785_252_292_473_1],
    [-0.809_016_994_374_947_4, -0.587_785_252_292_473_1],
    [0.309_016_994_374_947_4, -0.951_056_516_295_153_5],
];

/// Counts the lines, at `distance` from the origin across each of `normals`, that (u, v) lies beyond.
fn beyond(normals: &[[f64; 2]], distance: f64, u: f64, v: f64) -> usize {
    normals.iter().filter(|normal| normal[0] * u + normal[1] * v > distance).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 64;

    fn shape(kind: usize, turn: [f64; 2]) -> Shape {
        Shape { class: 5 * kind, centre: [0.5, 0.5], radius: 0.4, turn, colour: [255.0, 0.0, 0.0] }
    }

    /// The share of the image that the shape covers.
    fn area(shape: &Shape) -> f64 {
        let total: f64 = (0..SIZE * SIZE).map(|at| coverage(shape, at % SIZE, at / SIZE, SIZE)).sum();
        total / (SIZE * SIZE) as f64
    }

    #[test]
    fn areas_are_those_of_geometry_however_turned() {
        // For radius r: 0.81 π r², (1.5 r)², 3/4 √3 r², and for the pentagram 1.1226 r².
        let areas = [0.81 * std::f64::consts::PI, 2.25, 0.75 * 3f64.sqrt(), 1.1226].map(|area| area * 0.16);
        for (kind, expected) in areas.into_iter().enumerate() {
            for turn in [[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]] {
                let got = area(&shape(kind, turn));
                assert!((got - expected).abs() < 0.002, "kind {kind}: expected {expected}, got {got}");
            }
        }
    }

    #[test]
    fn a_shape_changes_its_own_pixels_alone() {
        let mut canvas = vec![[10.0; 3]; SIZE * SIZE];
        paint(&shape(1, [1.0, 0.0]), &mut canvas, SIZE);
        assert_eq!(canvas[SIZE / 2 * SIZE + SIZE / 2], [255.0, 0.0, 0.0]);
        assert_eq!(canvas[0], [10.0; 3]);
        let painted = canvas.iter().map(|pixel| (pixel[0] - 10.0) / 245.0).sum::<f64>() / (SIZE * SIZE) as f64;
        assert!((painted - area(&shape(1, [1.0, 0.0]))).abs() < 1e-9);
    }

    #[test]
    fn a_shape_over_the_edge_is_cut_off() {
        let mut canvas = vec![[0.0; 3]; SIZE * SIZE];
        paint(&Shape { centre: [0.01, 0.99], ..shape(0, [1.0, 0.0]) }, &mut canvas, SIZE);
        assert_eq!(canvas[(SIZE - 1) * SIZE], [255.0, 0.0, 0.0]);
    }

    #[test]
    fn the_ground_has_texture_and_no_colour() {
        let pixels = render(&Scene { shapes: vec![] }, 0, 0, SIZE).pixels;
        let spread =
            pixels.chunks_exact(3).map(|p| i32::from(p[0].max(p[1]).max(p[2])) - i32::from(p[0].min(p[1]).min(p[2])));
        assert!(spread.max().unwrap() <= 25);
        let (low, high) = (pixels.iter().min().unwrap(), pixels.iter().max().unwrap());
        assert!(high - low > 25);
    }
}
