//! Whole transforms: reproducibility, output size, frequencies of random steps.

use std::collections::BTreeSet;

use hashlab_image::{ColorJitter, Filter, RandomResizedCrop, Region, Rgb, Step, Transform, crop, decode, hflip};
use hashlab_rng::stream;

fn noise() -> Rgb {
    decode(include_bytes!("fixtures/noise.png")).unwrap()
}

const JITTER: ColorJitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
/// A hue that turns a quarter of the circle and more.
const STRONG_JITTER: ColorJitter = ColorJitter { hue: 0.4, ..JITTER };

/// Recipes as in torchvision's `Compose`, each made of other steps.
struct Recipes {
    bilinear: Transform,
    bicubic: Transform,
    opencv_blurred: Transform,
    pillow_blurred: Transform,
    strongly_jittered: Transform,
    cropped: Transform,
    cropped_at_offset: Transform,
}

impl Recipes {
    fn new(size: usize) -> Self {
        let enlarged = Step::Resize { size: size * 256 / 224, filter: Filter::Bilinear };
        let offset = (size * 256 / 224 - size).saturating_sub(1) / 2;
        let crop = |lowest| Step::RandomResizedCrop(RandomResizedCrop::new(size, (lowest, 1.0)));
        let (flip, grayscale) = (Step::Flip { p: 0.5 }, Step::Grayscale { p: 0.2 });
        let jitter = |jitter, p| Step::ColorJitter { jitter, p };
        let sigma = (0.1, 2.0);
        Self {
            bilinear: Transform::resize(size),
            bicubic: Transform::new([Step::Resize { size, filter: Filter::Bicubic }]),
            opencv_blurred: Transform::new([
                crop(0.5),
                flip,
                jitter(JITTER, 0.7),
                grayscale,
                Step::OpenCvBlur { sigma, p: 0.5 },
            ]),
            pillow_blurred: Transform::new([
                crop(0.2),
                flip,
                jitter(JITTER, 0.8),
                grayscale,
                Step::PillowBlur { sigma, p: 1.0 },
            ]),
            strongly_jittered: Transform::new([crop(0.2), flip, jitter(STRONG_JITTER, 1.0), grayscale]),
            cropped: Transform::new([enlarged, crop(0.08), flip]),
            cropped_at_offset: Transform::new([enlarged, Step::Crop { left: offset, top: offset, size }]),
        }
    }

    fn all(self) -> [Transform; 7] {
        [
            self.bilinear,
            self.bicubic,
            self.opencv_blurred,
            self.pillow_blurred,
            self.strongly_jittered,
            self.cropped,
            self.cropped_at_offset,
        ]
    }
}

fn all(size: usize) -> [Transform; 7] {
    Recipes::new(size).all()
}

/// Fraction of 1,000 views that satisfy `holds`.
fn rate(transform: &Transform, image: &Rgb, holds: impl Fn(&Rgb) -> bool) -> f64 {
    let views = (0..1000).map(|item| transform.apply(image, &mut stream(5, "view", &[item])));
    views.filter(holds).count() as f64 / 1000.0
}

#[test]
fn a_stream_decides_the_view() {
    for transform in all(40) {
        let view = |item| transform.apply(&noise(), &mut stream(0, "view", &[item]));
        assert_eq!(transform.size(), 40, "{transform}");
        assert_eq!((view(0).width, view(0).height, view(0).pixels.len()), (40, 40, 4800), "{transform}");
        assert_eq!(view(0), view(0), "{transform}");
        assert_eq!(view(0) != view(1), transform.is_random(), "{transform}");
    }
}

#[test]
fn pixels_have_not_changed_since_the_revision() {
    // If this fails, raise `REVISION` in src/transform.rs: stored features belong to other pixels.
    let digest = |transform: &Transform| {
        let views = (0..50).flat_map(|item| transform.apply(&noise(), &mut stream(0, "view", &[item])).pixels);
        blake3::hash(&views.collect::<Vec<u8>>()).to_hex()[..16].to_owned()
    };
    assert_eq!(
        all(40).each_ref().map(digest),
        [
            "621a5a1d4e5d2f4a",
            "0a6a182f67d662a1",
            "26f8ed707560fb55",
            "f094aeb1c894e431",
            "e503f638e1cd9634",
            "206ca232b1c7a465",
            "5638950653825612",
        ]
    );
}

#[test]
fn printed_transforms_name_every_step_and_setting() {
    let recipes = Recipes::new(112);
    assert_eq!(recipes.bicubic.to_string(), "resize(112,bicubic) r1");
    assert_eq!(recipes.cropped_at_offset.to_string(), "resize(128,bilinear) crop(112,at=7,7) r1");
    assert_eq!(
        recipes.pillow_blurred.to_string(),
        "random_resized_crop(112,scale=0.2..1,ratio=0.75..1.3333333333333333) flip(p=0.5) \
         color_jitter(0.4,0.4,0.4,0.1,p=0.8) grayscale(p=0.2) pillow_blur(sigma=0.1..2,p=1) r1"
    );
}

/// A jitter of each strength in turn, and each setting of a step once changed.
fn variants() -> Vec<Step> {
    let jitters = (0..4).map(|changed| {
        let strength = |i| if i == changed { 0.3 } else { 0.1 };
        let [brightness, contrast, saturation, hue] = [0, 1, 2, 3].map(strength);
        Step::ColorJitter { jitter: ColorJitter { brightness, contrast, saturation, hue }, p: 0.5 }
    });
    let crop = RandomResizedCrop { size: 8, scale: (0.5, 1.0), ratio: (0.5, 2.0) };
    let crops = [
        crop,
        RandomResizedCrop { size: 9, ..crop },
        RandomResizedCrop { scale: (0.4, 1.0), ..crop },
        RandomResizedCrop { scale: (0.5, 0.9), ..crop },
        RandomResizedCrop { ratio: (0.6, 2.0), ..crop },
        RandomResizedCrop { ratio: (0.5, 1.9), ..crop },
    ];
    let sigmas = [(0.1, 2.0), (0.2, 2.0), (0.1, 1.0)];
    let chances = [0.25, 0.5].into_iter().flat_map(|p| {
        let blurs =
            sigmas.iter().flat_map(move |&sigma| [Step::OpenCvBlur { sigma, p }, Step::PillowBlur { sigma, p }]);
        [Step::Flip { p }, Step::Grayscale { p }, Step::ColorJitter { jitter: JITTER, p }].into_iter().chain(blurs)
    });
    let cuts = [(0, 0, 8), (1, 0, 8), (0, 1, 8), (0, 0, 7)].map(|(left, top, size)| Step::Crop { left, top, size });
    let random_cuts = [7, 8].map(|size| Step::RandomCrop { size });
    let resizes = [(8, Filter::Bilinear), (9, Filter::Bilinear), (8, Filter::Bicubic)]
        .map(|(size, filter)| Step::Resize { size, filter });
    jitters
        .chain(crops.map(Step::RandomResizedCrop))
        .chain(chances)
        .chain(cuts)
        .chain(random_cuts)
        .chain(resizes)
        .collect()
}

#[test]
fn transforms_that_differ_print_differently() {
    let base = Step::Resize { size: 10, filter: Filter::Bilinear };
    let (flip, grayscale) = (Step::Flip { p: 1.0 }, Step::Grayscale { p: 1.0 });
    let orders = [[base, flip, grayscale], [base, grayscale, flip], [flip, base, grayscale]].map(Transform::new);
    let single = variants().into_iter().map(|step| Transform::new([base, step]));
    let transforms: Vec<Transform> = single.chain(orders).collect();
    let printed: BTreeSet<String> = transforms.iter().map(Transform::to_string).collect();
    assert_eq!(printed.len(), transforms.len(), "{printed:#?}");
}

#[test]
fn steps_act_in_their_order_and_certain_ones_always() {
    let resize = Step::Resize { size: 24, filter: Filter::Bilinear };
    let cut = Step::Crop { left: 2, top: 5, size: 16 };
    let flipped_first = Transform::new([resize, Step::Flip { p: 1.0 }, cut]);
    let mut expected = hashlab_image::resize(&noise(), 24, 24, Filter::Bilinear);
    hflip(&mut expected);
    let expected = crop(&expected, Region { left: 2, top: 5, width: 16, height: 16 });
    assert!(!flipped_first.is_random());
    assert_eq!(flipped_first.apply(&noise(), &mut stream(0, "view", &[])), expected);
    let flipped_last = Transform::new([resize, cut, Step::Flip { p: 1.0 }]);
    assert_ne!(flipped_last.apply(&noise(), &mut stream(0, "view", &[])), expected);
    let never = Transform::new([resize, cut, Step::Flip { p: 0.0 }]);
    assert_eq!(rate(&never, &ramp(), is_flipped), 0.0);
}

#[test]
#[should_panic(expected = "a transform needs a step that sets the size")]
fn a_transform_without_a_size_is_refused() {
    let _ = Transform::new([Step::Flip { p: 0.5 }]);
}

#[test]
#[should_panic(expected = "crop(8,at=0,1) reaches beyond")]
fn a_crop_beyond_what_precedes_it_is_refused() {
    let resize = Step::Resize { size: 8, filter: Filter::Bilinear };
    let _ = Transform::new([resize, Step::Crop { left: 0, top: 1, size: 8 }]);
}

#[test]
#[should_panic(expected = "crop(8,at=0,0) reaches beyond")]
fn a_crop_of_an_image_of_any_size_is_refused() {
    let _ = Transform::new([Step::Crop { left: 0, top: 0, size: 8 }]);
}

#[test]
fn empty_images_and_sizes_do_not_panic() {
    let empty = Rgb { width: 0, height: 0, pixels: Vec::new() };
    for transform in all(8) {
        assert_eq!(transform.apply(&empty, &mut stream(0, "view", &[])).pixels.len(), 192, "{transform}");
    }
    for transform in all(0) {
        assert_eq!(transform.apply(&noise(), &mut stream(0, "view", &[])).pixels.len(), 0, "{transform}");
    }
}

/// An image that is dark on its left and light on its right, in a color: a crop keeps the order, a flip turns it.
fn ramp() -> Rgb {
    let pixels = (0..32 * 32).flat_map(|i| [i % 32 * 6, i % 32 * 4, i % 32 * 2].map(|channel| channel as u8 + 20));
    Rgb { width: 32, height: 32, pixels: pixels.collect() }
}

fn is_flipped(view: &Rgb) -> bool {
    view.pixels[1] > view.pixels[3 * (view.width - 1) + 1]
}

fn is_grey(view: &Rgb) -> bool {
    view.pixels.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
}

#[test]
fn half_of_the_views_are_flipped() {
    for transform in all(32).into_iter().filter(Transform::is_random) {
        let flipped = rate(&transform, &ramp(), is_flipped);
        assert!((flipped - 0.5).abs() < 0.06, "{transform}: {flipped}");
    }
}

#[test]
fn a_fifth_of_the_views_are_grey() {
    let recipes = Recipes::new(32);
    for transform in [&recipes.opencv_blurred, &recipes.pillow_blurred, &recipes.strongly_jittered] {
        let grey = rate(transform, &ramp(), is_grey);
        assert!((grey - 0.2).abs() < 0.05, "{transform}: {grey}");
    }
    assert_eq!(rate(&recipes.cropped, &ramp(), is_grey), 0.0);
}

#[test]
fn color_is_jittered_as_often_as_the_recipes_say() {
    // Without jitter a single color is kept or becomes grey: crops and blurs do not change it.
    let pixels = [200, 120, 40].repeat(32 * 32);
    let single = Rgb { width: 32, height: 32, pixels };
    let grey = 135;
    let recipes = Recipes::new(16);
    let jittered = [(&recipes.opencv_blurred, 0.7), (&recipes.pillow_blurred, 0.8), (&recipes.strongly_jittered, 1.0)];
    for (transform, expected) in jittered {
        let kept = rate(transform, &single, |view| {
            view.pixels[..3] == [200, 120, 40] || view.pixels[..3] == [grey, grey, grey]
        });
        assert!((1.0 - kept - expected).abs() < 0.05, "{transform}: {kept}");
    }
}

/// A black half and a white half.
fn edge() -> Rgb {
    let pixels = (0..16 * 16).flat_map(|i| [if i % 16 < 8 { 0 } else { 255 }; 3]);
    Rgb { width: 16, height: 16, pixels: pixels.collect() }
}

/// Whether the ramp that an enlarged edge becomes has round ends: more grey pixels than its steepest step explains.
fn has_round_ends(view: &Rgb) -> bool {
    let row = &view.pixels[view.pixels.len() / 2..][..3 * view.width];
    let row: Vec<f64> = row.chunks_exact(3).map(|pixel| f64::from(pixel[0])).collect();
    let (low, high) = row.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (v.min(low), v.max(high)));
    let between = row.iter().filter(|&&v| v > low && v < high).count() as f64;
    let steepest = row.windows(2).map(|pair| (pair[0] - pair[1]).abs()).fold(0.0, f64::max);
    between - (high - low) / steepest > 1.2
}

#[test]
fn views_are_blurred_as_often_as_the_recipes_say() {
    let recipes = Recipes::new(64);
    // Not every blur shows: weak ones round to none, and jitter may clip the ramp to a few pixels.
    let shown = [&recipes.opencv_blurred, &recipes.pillow_blurred, &recipes.strongly_jittered]
        .map(|transform| rate(transform, &edge(), has_round_ends));
    assert!((0.33..0.5).contains(&shown[0]), "{shown:?}");
    assert!(shown[1] > 0.75, "{shown:?}");
    assert_eq!(shown[2], 0.0, "{shown:?}");
}

#[test]
fn a_random_crop_is_a_part_of_the_image_at_every_place() {
    let image = noise();
    let mut places = BTreeSet::new();
    let cut = Transform::new([Step::Resize { size: 10, filter: Filter::Bilinear }, Step::RandomCrop { size: 8 }]);
    assert!(cut.is_random());
    let whole = hashlab_image::resize(&image, 10, 10, Filter::Bilinear);
    let at = |left, top| crop(&whole, Region { left, top, width: 8, height: 8 });
    for view in 0..200 {
        let part = cut.apply(&image, &mut stream(0, "view", &[view]));
        let place = (0..9).find(|&i| at(i % 3, i / 3) == part);
        places.insert(place.expect("a part of the resized image"));
    }
    assert_eq!(places.len(), 9);
}
