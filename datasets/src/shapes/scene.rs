//! What an image shows, and in which light.

use hashlab_rng::{Stream, stream};

/// Kinds of shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Circle,
    Square,
    Triangle,
    Star,
}

const KINDS: [Kind; 4] = [Kind::Circle, Kind::Square, Kind::Triangle, Kind::Star];

/// How a shape is filled: in one color, or with parts of it darker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Plain,
    /// Upright bars.
    Bars,
    /// Level stripes.
    Stripes,
    Checks,
    Dots,
}

const PATTERNS: [Pattern; 5] = [Pattern::Plain, Pattern::Bars, Pattern::Stripes, Pattern::Checks, Pattern::Dots];

/// Red, green and blue (0 to 255) of the five colors, in the order of [`CLASSES`].
const COLORS: [[f64; 3]; 5] = [
    [215.0, 45.0, 45.0],  // red
    [50.0, 165.0, 65.0],  // green
    [55.0, 85.0, 215.0],  // blue
    [225.0, 200.0, 55.0], // yellow
    [145.0, 60.0, 175.0], // purple
];

/// Names of the classes: class `c` is of kind `c / 5` and color `c % 5`.
pub(super) const CLASSES: [&str; 20] = [
    "red circle",
    "green circle",
    "blue circle",
    "yellow circle",
    "purple circle",
    "red square",
    "green square",
    "blue square",
    "yellow square",
    "purple square",
    "red triangle",
    "green triangle",
    "blue triangle",
    "yellow triangle",
    "purple triangle",
    "red star",
    "green star",
    "blue star",
    "yellow star",
    "purple star",
];

/// A shape in an image. Lengths are fractions of the image's side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) class: usize,
    pub(super) center: [f64; 2],
    pub(super) radius: f64,
    /// Cosine and sine of the rotation.
    pub(super) turn: [f64; 2],
    /// Red, green and blue, 0 to 255.
    pub(super) color: [f64; 3],
    /// The length after which the pattern repeats.
    pub(super) period: f64,
    /// How far the pattern is shifted along both axes of the shape, in periods.
    pub(super) phase: [f64; 2],
}

impl Shape {
    pub(super) fn kind(&self) -> Kind {
        KINDS[self.class / COLORS.len()]
    }

    /// Kind and color decide the pattern, each pair of classes differing in at least two of the three: classes of
    /// photographs differ in more than one property, too.
    pub(super) fn pattern(&self) -> Pattern {
        PATTERNS[(self.class / COLORS.len() + self.class % COLORS.len()) % PATTERNS.len()]
    }
}

/// The light in which a scene was taken, and the camera's settings: what varies most between images of a class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Light {
    /// Factor on every value's distance from the image's mean.
    pub(super) contrast: f64,
    /// Factor on every value's distance from the mean of its pixel's three.
    pub(super) saturation: f64,
    /// Factor on every value.
    pub(super) brightness: f64,
}

impl Light {
    /// Leaves an image as it is.
    #[cfg(test)]
    pub(super) const NEUTRAL: Self = Self { contrast: 1.0, saturation: 1.0, brightness: 1.0 };

    /// The ranges reach from a dull picture in the dusk to one that is a little overexposed.
    fn draw(rng: &mut Stream) -> Self {
        let contrast = rng.uniform_in(0.5, 1.0);
        let saturation = rng.uniform_in(0.5, 1.2);
        Self { contrast, saturation, brightness: rng.uniform_in(0.5, 1.2) }
    }
}

/// The shapes of an image, in the order of painting, and the light.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) shapes: Vec<Shape>,
    pub(super) light: Light,
}

impl Scene {
    /// Draws the scene of item `index`: a large shape, or up to `most` of different classes in a quadrant each.
    ///
    /// Nothing here or in the rasterizer calls a function whose rounding the platform's mathematical library
    /// decides, such as a sine, so that pixels are the same everywhere.
    pub(super) fn draw((seed, index): (u64, usize), most: usize) -> Self {
        let mut rng = stream(seed, "shapes/scene", &[index as u64]);
        let count = 1 + rng.below(most);
        let classes = rng.distinct(count, CLASSES.len());
        let quadrants = rng.distinct(count, 4);
        let shapes = classes.into_iter().zip(quadrants).map(|(class, quadrant)| match count {
            1 => place(class, ([0.0; 2], 1.0), &mut rng),
            _ => place(class, ([quadrant % 2, quadrant / 2].map(|half| half as f64 / 2.0), 0.5), &mut rng),
        });
        let shapes = shapes.collect();
        Self { shapes, light: Light::draw(&mut rng) }
    }

    /// The classes of the shapes, in the order of painting.
    pub(super) fn classes(&self) -> impl Iterator<Item = usize> {
        self.shapes.iter().map(|shape| shape.class)
    }

    /// Says what is shown, e.g. "a red circle, a blue star and a green square".
    pub(super) fn caption(&self) -> String {
        let names: Vec<_> = self.classes().map(|class| format!("a {}", CLASSES[class])).collect();
        match names.split_last() {
            Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            _ => names.concat(),
        }
    }
}

/// Puts a shape somewhere in a square, given by its upper left corner and its side.
fn place(class: usize, (corner, side): ([f64; 2], f64), rng: &mut Stream) -> Shape {
    // Most of the square is covered, as in photographs cropped to an object; all of the shape lies in it.
    let radius = side * rng.uniform_in(0.34, 0.42);
    let center = corner.map(|start| rng.uniform_in(start + radius, start + side - radius));
    let turn = tilt(rng);
    let shade = rng.uniform_in(0.75, 1.15);
    let color = COLORS[class % COLORS.len()].map(|value| value * shade + rng.uniform_in(-15.0, 15.0));
    // 5 to 6 pixels of 32: fine enough for several periods in a shape, coarse enough to survive the blur of an
    // augmentation.
    let period = rng.uniform_in(0.16, 0.2);
    let phase = [0; 2].map(|_| rng.uniform());
    Shape { class, center, radius, turn, color, period, phase }
}

/// Draws a unit vector within 11 degrees of the x axis: things in photographs stand more or less upright.
fn tilt(rng: &mut Stream) -> [f64; 2] {
    let slope = rng.uniform_in(-0.2, 0.2);
    let length = (1.0 + slope * slope).sqrt();
    [1.0 / length, slope / length]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(class: usize) -> Shape {
        let (center, turn) = ([0.5; 2], [1.0, 0.0]);
        Shape { class, center, radius: 0.2, turn, color: [0.0; 3], period: 0.2, phase: [0.0; 2] }
    }

    #[test]
    fn class_names_follow_kinds_and_colors() {
        let kinds = ["circle", "square", "triangle", "star"];
        let colors = ["red", "green", "blue", "yellow", "purple"];
        for (class, name) in CLASSES.iter().enumerate() {
            assert_eq!(*name, format!("{} {}", colors[class % 5], kinds[class / 5]));
            assert_eq!(format!("{:?}", KINDS[class / 5]).to_lowercase(), kinds[class / 5]);
        }
    }

    #[test]
    fn classes_differ_in_two_properties_at_least() {
        let same = |a: usize, b: usize| {
            let [x, y] = [shape(a), shape(b)];
            [x.kind() == y.kind(), a % 5 == b % 5, x.pattern() == y.pattern()].into_iter().filter(|&same| same).count()
        };
        for (a, name) in CLASSES.iter().enumerate() {
            assert!((0..a).all(|b| same(a, b) <= 1), "{name}");
        }
    }

    #[test]
    fn captions_join_shapes_as_people_do() {
        let caption = |classes: &[usize]| {
            Scene { shapes: classes.iter().copied().map(shape).collect(), light: Light::NEUTRAL }.caption()
        };
        assert_eq!(caption(&[0]), "a red circle");
        assert_eq!(caption(&[0, 17]), "a red circle and a blue star");
        assert_eq!(caption(&[0, 17, 6]), "a red circle, a blue star and a green square");
    }

    #[test]
    fn every_class_and_every_count_occurs() {
        let scenes: Vec<_> = (0..500).map(|index| Scene::draw((0, index), 3)).collect();
        for class in 0..CLASSES.len() {
            assert!(scenes.iter().any(|scene| scene.classes().any(|shown| shown == class)));
        }
        for count in 1..=3 {
            assert!(scenes.iter().filter(|scene| scene.shapes.len() == count).count() > 100);
        }
    }

    #[test]
    fn shapes_lie_in_the_image_and_do_not_meet() {
        for scene in (0..200).map(|index| Scene::draw((1, index), 4)) {
            for (at, a) in scene.shapes.iter().enumerate() {
                assert!(a.center.iter().all(|&c| c - a.radius > -1e-9 && c + a.radius < 1.0 + 1e-9), "{a:?}");
                let apart = |b: &Shape| (0..2).any(|i| (a.center[i] - b.center[i]).abs() > a.radius + b.radius - 1e-9);
                assert!(scene.shapes[..at].iter().all(apart), "{scene:?}");
            }
        }
    }
}
