//! From a scene to pixels.

use hashlab_data::Rgb;
use hashlab_rng::{Stream, stream};

use super::scene::{Kind, Light, Pattern, Scene, Shape};

/// Cells of the ground's texture along a side.
const CELLS: usize = 5;
/// Samples per pixel along a side, for smooth edges.
const SAMPLES: usize = 4;
/// What the dark parts of a pattern lose of the color: as much as print on paper.
const DARKER: f64 = 0.8;

/// Paints `scene` over a textured ground of its own, `size` × `size` pixels, and puts it in its light.
pub(super) fn render(scene: &Scene, seed: u64, index: usize, size: usize) -> Rgb {
    let mut canvas = ground(&mut stream(seed, "shapes/ground", &[index as u64]), size);
    for shape in &scene.shapes {
        paint(shape, &mut canvas, size);
    }
    illuminate(&mut canvas, scene.light);
    let pixels = canvas.into_iter().flatten().map(|value| (value + 0.5).clamp(0.0, 255.0) as u8).collect();
    Rgb { width: size, height: size, pixels }
}

/// A tinted grey with a coarse texture, interpolated between the corners of cells, and noise on every pixel.
fn ground(rng: &mut Stream, size: usize) -> Vec<[f64; 3]> {
    let grey = rng.uniform_in(60.0, 190.0);
    let tint = [0; 3].map(|_| grey + rng.uniform_in(-12.0, 12.0));
    let corners: Vec<f64> = (0..(CELLS + 1) * (CELLS + 1)).map(|_| rng.uniform_in(-25.0, 25.0)).collect();
    let mut canvas = Vec::with_capacity(size * size);
    for y in 0..size {
        for x in 0..size {
            let light = interpolate(&corners, unit(x, size), unit(y, size)) + rng.uniform_in(-10.0, 10.0);
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
    let reach = |center: f64| {
        let edge = |at: f64| (at * size as f64).clamp(0.0, size as f64) as usize;
        edge(center - shape.radius)..(edge(center + shape.radius) + 1).min(size)
    };
    for y in reach(shape.center[1]) {
        for x in reach(shape.center[0]) {
            let [covered, dark] = coverage(shape, x, y, size);
            for (value, color) in canvas[y * size + x].iter_mut().zip(shape.color) {
                *value += covered * (color - *value) - dark * DARKER * color;
            }
        }
    }
}

/// Changes contrast, saturation and brightness, in this order.
fn illuminate(canvas: &mut [[f64; 3]], light: Light) {
    let mean = |pixel: &[f64; 3]| (pixel[0] + pixel[1] + pixel[2]) / 3.0;
    let overall = canvas.iter().map(mean).sum::<f64>() / canvas.len() as f64;
    for pixel in canvas {
        let contrasted = pixel.map(|value| overall + (value - overall) * light.contrast);
        let grey = mean(&contrasted);
        *pixel = contrasted.map(|value| (grey + (value - grey) * light.saturation) * light.brightness);
    }
}

/// The share of pixel (x, y) that the shape covers, and the share that dark parts of its pattern cover.
fn coverage(shape: &Shape, x: usize, y: usize, size: usize) -> [f64; 2] {
    let fine = SAMPLES * size;
    let [mut covered, mut dark] = [0; 2];
    for sample in 0..SAMPLES * SAMPLES {
        let at = [unit(SAMPLES * x + sample % SAMPLES, fine), unit(SAMPLES * y + sample / SAMPLES, fine)];
        let at = turned(shape, at);
        if covers(shape, at) {
            covered += 1;
            dark += usize::from(darkens(shape, at));
        }
    }
    [covered, dark].map(|count| count as f64 / (SAMPLES * SAMPLES) as f64)
}

/// The center of cell `at` of `count` along a side of length 1.
fn unit(at: usize, count: usize) -> f64 {
    (at as f64 + 0.5) / count as f64
}

/// The point in the shape's own axes, to the right and down, from its center and in units of its radius.
fn turned(shape: &Shape, at: [f64; 2]) -> [f64; 2] {
    let [cos, sin] = shape.turn;
    let [x, y] = [0, 1].map(|axis| (at[axis] - shape.center[axis]) / shape.radius);
    [cos * x + sin * y, cos * y - sin * x]
}

/// Whether the shape covers the point of its axes.
fn covers(shape: &Shape, [u, v]: [f64; 2]) -> bool {
    match shape.kind() {
        Kind::Circle => u * u + v * v <= 0.81,
        Kind::Square => u.abs().max(v.abs()) <= 0.75,
        // On its base: one of the normals points down.
        Kind::Triangle => beyond(&THIRDS, 0.5, v, u) == 0,
        // A pentagram is all that lies beyond at most one of its five lines; one of its points is up.
        Kind::Star => beyond(&FIFTHS, FIFTHS[1][0], -v, u) <= 1,
    }
}

/// Whether the pattern is dark at the point of the shape's axes.
fn darkens(shape: &Shape, at: [f64; 2]) -> bool {
    let [u, v] = [0, 1].map(|axis| {
        let periods = at[axis] * shape.radius / shape.period + shape.phase[axis];
        periods - periods.floor()
    });
    match shape.pattern() {
        Pattern::Plain => false,
        Pattern::Bars => u < 0.5,
        Pattern::Stripes => v < 0.5,
        Pattern::Checks => (u < 0.5) != (v < 0.5),
        Pattern::Dots => (u - 0.5) * (u - 0.5) + (v - 0.5) * (v - 0.5) < 0.1,
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
        let (center, color) = ([0.5; 2], [255.0, 0.0, 0.0]);
        Shape { class: 5 * kind, center, radius: 0.4, turn, color, period: 0.2, phase: [0.0; 2] }
    }

    /// The shares of the image that the shape covers, and that the dark parts of its pattern cover.
    fn areas(shape: &Shape) -> [f64; 2] {
        let shares: Vec<_> = (0..SIZE * SIZE).map(|at| coverage(shape, at % SIZE, at / SIZE, SIZE)).collect();
        [0, 1].map(|part| shares.iter().map(|share| share[part]).sum::<f64>() / (SIZE * SIZE) as f64)
    }

    #[test]
    fn areas_are_those_of_geometry_however_turned() {
        // For radius r: 0.81 π r², (1.5 r)², 3/4 √3 r², and for the pentagram 1.1226 r².
        let exact = [0.81 * std::f64::consts::PI, 2.25, 0.75 * 3f64.sqrt(), 1.1226].map(|area| area * 0.16);
        for (kind, expected) in exact.into_iter().enumerate() {
            for turn in [[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]] {
                let [got, _] = areas(&shape(kind, turn));
                assert!((got - expected).abs() < 0.002, "kind {kind}: expected {expected}, got {got}");
            }
        }
    }

    #[test]
    fn a_shape_changes_its_own_pixels_alone() {
        let mut canvas = vec![[10.0; 3]; SIZE * SIZE];
        paint(&shape(0, [1.0, 0.0]), &mut canvas, SIZE);
        assert_eq!(canvas[SIZE / 2 * SIZE + SIZE / 2], [255.0, 0.0, 0.0]);
        assert_eq!(canvas[0], [10.0; 3]);
        let painted = canvas.iter().map(|pixel| (pixel[0] - 10.0) / 245.0).sum::<f64>() / (SIZE * SIZE) as f64;
        assert!((painted - areas(&shape(0, [1.0, 0.0]))[0]).abs() < 1e-9);
    }

    #[test]
    fn a_shape_over_the_edge_is_cut_off() {
        let mut canvas = vec![[0.0; 3]; SIZE * SIZE];
        paint(&Shape { center: [0.01, 0.99], ..shape(0, [1.0, 0.0]) }, &mut canvas, SIZE);
        assert_eq!(canvas[(SIZE - 1) * SIZE], [255.0, 0.0, 0.0]);
    }

    /// A red circle is plain; the other squares have bars, stripes, checks and dots.
    #[test]
    fn patterns_darken_their_part_of_a_shape() {
        assert_eq!(areas(&shape(0, [1.0, 0.0]))[1], 0.0);
        for (class, part) in [(5, 0.5), (6, 0.5), (7, 0.5), (8, 0.1 * std::f64::consts::PI)] {
            // Three periods across the square.
            let [covered, dark] = areas(&Shape { class, ..shape(1, [0.6, 0.8]) });
            assert!((dark / covered - part).abs() < 0.02, "class {class}: {} of {part}", dark / covered);
        }
    }

    #[test]
    fn bars_are_upright_and_stripes_level() {
        let dark = |class, at| darkens(&Shape { class, ..shape(1, [1.0, 0.0]) }, at);
        let half = 0.1 / 0.4; // Half a period, in radii.
        assert!(dark(5, [0.1, 0.1]) && dark(5, [0.1, 0.1 + half]) && !dark(5, [0.1 + half, 0.1]));
        assert!(dark(6, [0.1, 0.1]) && dark(6, [0.1 + half, 0.1]) && !dark(6, [0.1, 0.1 + half]));
    }

    #[test]
    fn light_acts_on_contrast_then_saturation_then_brightness() {
        let mut canvas = vec![[10.0, 20.0, 30.0], [100.0; 3]]; // Means 20 and 100, overall 60.
        illuminate(&mut canvas, Light::NEUTRAL);
        assert_eq!(canvas, [[10.0, 20.0, 30.0], [100.0; 3]]);
        illuminate(&mut canvas, Light { contrast: 0.5, saturation: 2.0, brightness: 0.5 });
        assert_eq!(canvas, [[15.0, 20.0, 25.0], [40.0; 3]]);
    }

    #[test]
    fn the_ground_has_texture_and_no_color() {
        let pixels = render(&Scene { shapes: vec![], light: Light::NEUTRAL }, 0, 0, SIZE).pixels;
        let spread =
            pixels.chunks_exact(3).map(|p| i32::from(p[0].max(p[1]).max(p[2])) - i32::from(p[0].min(p[1]).min(p[2])));
        assert!(spread.max().unwrap() <= 25);
        let (low, high) = (pixels.iter().min().unwrap(), pixels.iter().max().unwrap());
        assert!(high - low > 25);
    }
}
