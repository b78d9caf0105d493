//! What an image shows.

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

/// Red, green and blue (0 to 255) of the five colours, in the order of [`CLASSES`].
const COLOURS: [[f64; 3]; 5] = [
    [215.0, 45.0, 45.0],  // red
    [50.0, 165.0, 65.0],  // green
    [55.0, 85.0, 215.0],  // blue
    [225.0, 200.0, 55.0], // yellow
    [145.0, 60.0, 175.0], // purple
];

/// Names of the classes: class `c` is of kind `c / 5` and colour `c % 5`.
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
    pub(super) centre: [f64; 2],
    pub(super) radius: f64,
    /// Cosine and sine of the rotation.
    pub(super) turn: [f64; 2],
    /// Red, green and blue, 0 to 255.
    pub(super) colour: [f64; 3],
}

impl Shape {
    pub(super) fn kind(&self) -> Kind {
        KINDS[self.class / COLOURS.len()]
    }
}

/// The shapes of an image, in the order of painting.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) shapes: Vec<Shape>,
}

impl Scene {
    /// Draws the scene of item `index`: one to three shapes of different classes in different quadrants.
    ///
    /// Nothing here or in the rasteriser calls a function whose rounding the platform's mathematical library
    /// decides, such as a sine, so that pixels are the same everywhere.
    pub(super) fn draw(seed: u64, index: usize) -> Self {
        let mut rng = stream(seed, "shapes/scene", &[index as u64]);
        let count = 1 + rng.below(3);
        let classes = rng.distinct(count, CLASSES.len());
        let quadrants = rng.distinct(count, 4);
        let shapes = classes.into_iter().zip(quadrants).map(|(class, quadrant)| place(class, quadrant, &mut rng));
        Self { shapes: shapes.collect() }
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

/// Puts a shape near the centre of a quadrant.
fn place(class: usize, quadrant: usize, rng: &mut Stream) -> Shape {
    let mut near = |side: usize| 0.25 + 0.5 * side as f64 + rng.uniform_in(-0.06, 0.06);
    let centre = [near(quadrant % 2), near(quadrant / 2)];
    let radius = rng.uniform_in(0.14, 0.24);
    let turn = direction(rng);
    let light = rng.uniform_in(0.75, 1.15);
    let colour = COLOURS[class % COLOURS.len()].map(|value| value * light + rng.uniform_in(-15.0, 15.0));
    Shape { class, centre, radius, turn, colour }
}

/// Draws a unit vector: a point of the disc, divided by its length.
fn direction(rng: &mut Stream) -> [f64; 2] {
    loop {
        let (x, y) = (rng.uniform_in(-1.0, 1.0), rng.uniform_in(-1.0, 1.0));
        let length = (x * x + y * y).sqrt();
        if (0.1..=1.0).contains(&length) {
            return [x / length, y / length];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_follow_kinds_and_colours() {
        let kinds = ["circle", "square", "triangle", "star"];
        let colours = ["red", "green", "blue", "yellow", "purple"];
        for (class, name) in CLASSES.iter().enumerate() {
            assert_eq!(*name, format!("{} {}", colours[class % 5], kinds[class / 5]));
            assert_eq!(format!("{:?}", KINDS[class / 5]).to_lowercase(), kinds[class / 5]);
        }
    }

    #[test]
    fn captions_join_shapes_as_people_do() {
        let shape = |class| Shape { class, centre: [0.5; 2], radius: 0.2, turn: [1.0, 0.0], colour: [0.0; 3] };
        let caption = |classes: &[usize]| Scene { shapes: classes.iter().copied().map(shape).collect() }.caption();
        assert_eq!(caption(&[0]), "a red circle");
        assert_eq!(caption(&[0, 17]), "a red circle and a blue star");
        assert_eq!(caption(&[0, 17, 6]), "a red circle, a blue star and a green square");
    }

    #[test]
    fn every_class_and_every_count_occurs() {
        let scenes: Vec<_> = (0..500).map(|index| Scene::draw(0, index)).collect();
        for class in 0..CLASSES.len() {
            assert!(scenes.iter().any(|scene| scene.classes().any(|shown| shown == class)));
        }
        for count in 1..=3 {
            assert!(scenes.iter().filter(|scene| scene.shapes.len() == count).count() > 100);
        }
    }
}
