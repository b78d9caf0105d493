//! Generated images of colored shapes, with labels and captions: a data set that is always there.
//!
//! An image shows one shape or several, each of another class, on a textured grey ground. The classes are the pairs of
//! color and kind, and each has a pattern; an item has as many labels as shapes, and its caption names them. Place,
//! size, shade and, most of all, the light vary: brightness, contrast and saturation differ so much between images that
//! they outweigh the class in pixels and in simple features. This is what makes photographs hard, and what a method
//! that learns from augmented views can learn to ignore.
//!
//! Item `i` depends on the settings and on `i` alone, so items may be added without changing the others.

mod raster;
mod scene;

use std::path::PathBuf;
use std::sync::OnceLock;

use hashlab_data::{
    DataDirs, DataError, DataKind, Dataset, DatasetInfo, DatasetSource, DatasetSummary, Images, ItemData, Labels,
    Modality, Protocol, Rgb, Roles, Split, Texts, draw,
};
use hashlab_settings::Params;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use scene::{CLASSES, Scene};

/// Images that are held at once while the digest is computed.
const DIGEST_CHUNK: usize = 4096;

/// Settings of `shapes`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Number of items.
    #[schemars(range(min = 20, max = 10_000_000))]
    pub items: usize,
    /// Pixels per row, and rows.
    #[schemars(range(min = 16, max = 512))]
    pub size: usize,
    /// Most shapes in an image. With 1, every item has a single label.
    #[schemars(range(min = 1, max = 4))]
    pub shapes: usize,
    /// Seed of the images and their labels; the split has its own.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { items: 3000, size: 32, shapes: 3, seed: 0 }
    }
}

impl Params for Settings {}

/// Generated shapes, opened.
pub struct Shapes {
    info: DatasetInfo,
    settings: Settings,
    labels: Labels,
    digest: OnceLock<String>,
}

/// Raised when items or labels change.
const IDENTITY: &str = "shapes-v2";

impl DatasetSource for Shapes {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: "shapes",
        title: "Shapes",
        description: "generated images of colored shapes with patterns, 20 classes, captions",
        source: "generated; nothing to fetch",
        license: "MIT OR Apache-2.0, as hashlab",
        citation: "cite hashlab",
    };
    type Settings = Settings;

    fn declared(_: &Settings) -> Option<DatasetInfo> {
        Some(info())
    }

    fn open(settings: &Settings, _: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(Self::new(settings.clone())))
    }
}

fn info() -> DatasetInfo {
    DatasetInfo {
        identity: IDENTITY.to_owned(),
        modalities: [(Modality::Image, DataKind::Pixels), (Modality::Text, DataKind::Texts)].into_iter().collect(),
        classes: CLASSES.map(str::to_owned).to_vec(),
        protocols: vec![Protocol::new(
            "shapes",
            "10 % of the items are queries; train and database are the others",
            None,
        )],
    }
}

impl Shapes {
    fn new(settings: Settings) -> Self {
        let scenes = (0..settings.items).map(|index| Scene::draw((settings.seed, index), settings.shapes));
        let labels = Labels::multi(CLASSES.len(), scenes.map(|scene| scene.classes().collect::<Vec<_>>()));
        Self { info: info(), settings, labels, digest: OnceLock::new() }
    }

    fn scene(&self, index: usize) -> Scene {
        Scene::draw((self.settings.seed, index), self.settings.shapes)
    }

    fn render(&self, index: usize) -> Rgb {
        raster::render(&self.scene(index), self.settings.seed, index, self.settings.size)
    }

    /// Hashes the label words and pixels of every item.
    fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let items: Vec<usize> = (0..self.len()).collect();
        for chunk in items.chunks(DIGEST_CHUNK) {
            let images: Vec<Rgb> = chunk.par_iter().map(|&index| self.render(index)).collect();
            for (&index, image) in chunk.iter().zip(images) {
                for word in self.labels.item(index) {
                    hasher.update(&word.to_le_bytes());
                }
                hasher.update(&image.pixels);
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl Images for Shapes {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        Ok(self.render(index))
    }
}

impl Texts for Shapes {
    fn text(&self, index: usize, _: usize) -> Result<String, DataError> {
        Ok(self.scene(index).caption())
    }
}

impl Dataset for Shapes {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        match modality {
            Modality::Image => Some(ItemData::Images(self)),
            Modality::Text => Some(ItemData::Texts(self)),
            _ => None,
        }
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn digest(&self) -> Result<&str, DataError> {
        Ok(self.digest.get_or_init(|| self.hash()))
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        self.info.protocol(protocol)?;
        let ([query], rest) = draw::overall(self.len(), split_seed, [self.len() / 10])?;
        let roles = Roles { train: rest.clone(), validation_query: None, query, database: rest };
        roles.into_split(self.len(), split_seed)
    }

    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(items: usize, size: usize, seed: u64) -> Shapes {
        Shapes::new(Settings { items, size, seed, ..Settings::default() })
    }

    /// If this fails, the generator has changed: raise `identity`, then the digest here.
    #[test]
    fn the_items_are_those_of_the_declared_identity() {
        assert_eq!(IDENTITY, "shapes-v2");
        assert_eq!(
            shapes(50, 32, 0).digest().unwrap(),
            "ff8416d1f490a0eb778ad71b3a32ebb35a60cf6496597357e5d2dcb2ab162fdf"
        );
    }

    #[test]
    fn items_depend_on_seed_and_index_alone() {
        let (few, many) = (shapes(20, 32, 1), shapes(40, 32, 1));
        for index in 0..20 {
            assert_eq!(few.image(index).unwrap(), many.image(index).unwrap());
            assert_eq!(few.text(index, 0).unwrap(), many.text(index, 0).unwrap());
            assert_eq!(few.labels().item(index), many.labels().item(index));
        }
        assert_ne!(few.image(3).unwrap(), shapes(20, 32, 2).image(3).unwrap());
    }

    #[test]
    fn captions_name_the_labels() {
        let shapes = shapes(60, 16, 4);
        for index in 0..60 {
            let caption = shapes.text(index, 0).unwrap();
            let classes = shapes.labels().classes_of(index);
            assert!((1..=3).contains(&classes.len()));
            assert!(classes.iter().all(|&class| caption.contains(CLASSES[class])), "{caption}: {classes:?}");
        }
    }

    #[test]
    fn images_have_the_size_that_was_asked_for() {
        let image = shapes(20, 48, 0).image(0).unwrap();
        assert_eq!((image.width, image.height, image.pixels.len()), (48, 48, 48 * 48 * 3));
    }

    /// Nearest neighbors by a plain color histogram share a label far more often than random pairs do, and far from
    /// always: there is something to learn.
    #[test]
    fn labels_can_be_learned_from_pixels_but_not_read_off() {
        let shapes = shapes(400, 32, 0);
        let features: Vec<_> = (0..400).map(|index| histogram(&shapes.image(index).unwrap())).collect();
        let share = |a: usize, b: usize| shapes.labels().item(a)[0] & shapes.labels().item(b)[0] != 0;
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).sum::<f64>();
        let nearest = |a: usize| {
            let others = (0..400).filter(|&b| b != a);
            others
                .min_by(|&b, &c| distance(&features[a], &features[b]).total_cmp(&distance(&features[a], &features[c])))
        };
        let hits = (0..400).filter(|&a| share(a, nearest(a).unwrap())).count();
        let chance = (0..400).filter(|&a| share(a, (a + 1) % 400)).count();
        assert!(chance < 100, "{chance} of 400 random pairs share a label");
        assert!((2 * chance..380).contains(&hits), "{hits} of 400 nearest neighbors share a label, {chance} by chance");
    }

    /// Shares of pixels by which channels stand out from the mean of the three.
    fn histogram(image: &Rgb) -> Vec<f64> {
        let mut bins = vec![0.0; 8];
        for pixel in image.pixels.chunks_exact(3) {
            let mean = pixel.iter().map(|&value| f64::from(value)).sum::<f64>() / 3.0;
            let bit = |channel: usize| usize::from(f64::from(pixel[channel]) > mean + 15.0) << channel;
            bins[bit(0) + bit(1) + bit(2)] += 1.0;
        }
        bins[0] = 0.0; // The grey ground.
        bins
    }

    #[test]
    fn sizes_of_the_split_follow_the_number_of_items() {
        let sizes = shapes(3000, 16, 0).split("shapes", 0).unwrap().sizes();
        assert_eq!((sizes.query, sizes.train, sizes.validation_query), (300, 2430, 270));
        assert_eq!((sizes.database, sizes.validation_database), (2700, 2430));
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let schema = hashlab_settings::Schema::of::<Settings>();
        let check = |value: serde_json::Value| schema.check(value.as_object().unwrap()).to_string();
        assert_eq!(check(serde_json::json!({})), "");
        let message = "`items` must be at least 20 and at most 10000000, got 19";
        assert_eq!(check(serde_json::json!({ "items": 19 })), message);
        let message = "`size` must be at least 16 and at most 512, got 513";
        assert_eq!(check(serde_json::json!({ "size": 513 })), message);
    }
}
