//! Whole transforms: reproducible, of the right size, and as random as they say.

use std::collections::BTreeSet;

use hashlab_image::{Rgb, Transform, View, decode};
use hashlab_rng::stream;

fn noise() -> Rgb {
    decode(include_bytes!("fixtures/noise.png")).unwrap()
}

fn all(size: usize) -> [Transform; 7] {
    [
        Transform::Plain { size },
        Transform::PlainBicubic { size },
        Transform::CibHash { size },
        Transform::MocoV2 { size, view: View::First },
        Transform::MocoV2 { size, view: View::Second },
        Transform::HashNet { size },
        Transform::HashNetTest { size },
    ]
}

/// How often 1,000 views satisfy `holds`.
fn rate(transform: Transform, image: &Rgb, holds: impl Fn(&Rgb) -> bool) -> f64 {
    let views = (0..1000).map(|item| transform.apply(image, &mut stream(5, "view", &[item])));
    views.filter(holds).count() as f64 / 1000.0
}

#[test]
fn a_stream_decides_the_view() {
    for transform in all(40) {
        let view = |item| transform.apply(&noise(), &mut stream(0, "view", &[item]));
        assert_eq!((view(0).width, view(0).height, view(0).pixels.len()), (40, 40, 4800), "{transform}");
        assert_eq!(view(0), view(0), "{transform}");
        assert_eq!(view(0) != view(1), transform.is_random(), "{transform}");
    }
}

#[test]
fn pixels_have_not_changed_since_the_revision() {
    // When this fails, raise `Transform::revision`: view banks made before hold other pixels.
    let digest = |transform: Transform| {
        let views = (0..50).flat_map(|item| transform.apply(&noise(), &mut stream(0, "view", &[item])).pixels);
        blake3::hash(&views.collect::<Vec<u8>>()).to_hex()[..16].to_owned()
    };
    let digests = all(40).map(|transform| format!("{transform} {}", digest(transform)));
    assert_eq!(
        digests,
        [
            "plain-40-r1 621a5a1d4e5d2f4a",
            "plain_bicubic-40-r1 0a6a182f67d662a1",
            "cibhash-40-r1 26f8ed707560fb55",
            "mocov2_first-40-r1 f094aeb1c894e431",
            "mocov2_second-40-r1 e503f638e1cd9634",
            "hashnet-40-r1 206ca232b1c7a465",
            "hashnet_test-40-r1 5638950653825612",
        ]
    );
}

#[test]
fn ids_differ_and_serialised_transforms_come_back() {
    let transforms: Vec<Transform> = all(64).into_iter().chain(all(128)).collect();
    let ids: BTreeSet<String> = transforms.iter().map(Transform::id).collect();
    assert_eq!(ids.len(), transforms.len());
    for transform in transforms {
        let text = serde_json::to_string(&transform).unwrap();
        assert_eq!(serde_json::from_str::<Transform>(&text).unwrap(), transform, "{text}");
    }
    assert_eq!(serde_json::to_string(&all(128)[2]).unwrap(), r#"{"name":"cibhash","size":128}"#);
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

/// An image that is dark on its left and light on its right, in a colour: a crop keeps the order, a flip turns it.
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
        let flipped = rate(transform, &ramp(), is_flipped);
        assert!((flipped - 0.5).abs() < 0.06, "{transform}: {flipped}");
    }
}

#[test]
fn a_fifth_of_the_training_views_are_grey() {
    let [_, _, cibhash, first, second, hashnet, _] = all(32);
    for transform in [cibhash, first, second] {
        let grey = rate(transform, &ramp(), is_grey);
        assert!((grey - 0.2).abs() < 0.05, "{transform}: {grey}");
    }
    assert_eq!(rate(hashnet, &ramp(), is_grey), 0.0);
}

#[test]
fn colour_is_jittered_as_often_as_the_recipes_say() {
    // Without jitter a single colour is kept or becomes grey: crops and blurs do not change it.
    let pixels = [200, 120, 40].repeat(32 * 32);
    let single = Rgb { width: 32, height: 32, pixels };
    let grey = 135;
    let [_, _, cibhash, first, second, ..] = all(16);
    for (transform, expected) in [(cibhash, 0.7), (first, 0.8), (second, 1.0)] {
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
    let [_, _, cibhash, first, second, ..] = all(64);
    // Not every blur shows: weak ones round to none, and jitter may clip the ramp to a few pixels.
    let shown = [cibhash, first, second].map(|transform| rate(transform, &edge(), has_round_ends));
    assert!((0.33..0.5).contains(&shown[0]), "{shown:?}");
    assert!(shown[1] > 0.75, "{shown:?}");
    assert_eq!(shown[2], 0.0, "{shown:?}");
}
