//! Files of every format beside Pillow's pixels; `fixtures/generate_files.py` writes them.

use std::path::PathBuf;

use hashlab_image::{Exif, Rgb, decode, decode_with, is_turned};
use serde_json::Value;

/// Largest difference of a JPEG's or lossy WebP's pixel from Pillow's, and the largest mean difference.
const MOST: u8 = 4;
const MEAN: f64 = 0.4;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn read(name: &str) -> Rgb {
    decode(&bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn cases() -> Vec<Value> {
    serde_json::from_slice(&bytes("cases.json")).unwrap()
}

fn name(case: &Value) -> &str {
    case["file"].as_str().unwrap()
}

#[test]
fn lossless_files_have_pillows_pixels() {
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| case.get("digest").is_some()) {
        let image = match decode(&bytes(name(case))) {
            Ok(image) => image,
            Err(error) => {
                wrong.push(format!("{}: {error}", name(case)));
                continue;
            }
        };
        let size = [image.width, image.height].map(Value::from);
        let digest = blake3::hash(&image.pixels).to_hex()[..32].to_owned();
        if case["size"].as_array().unwrap()[..] != size || case["digest"] != *digest {
            wrong.push(format!("{}: {size:?} {:?}", name(case), image.pixels));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lossy_files_are_near_pillows_pixels() {
    for case in cases().iter().filter(|case| case.get("digest").is_none() && case.get("unsupported").is_none()) {
        let (ours, pillows) = (read(name(case)), read(&format!("{}.png", name(case))));
        assert_eq!((ours.width, ours.height), (pillows.width, pillows.height), "{}", name(case));
        let apart: Vec<u8> = ours.pixels.iter().zip(&pillows.pixels).map(|(a, b)| a.abs_diff(*b)).collect();
        let mean = apart.iter().map(|&apart| f64::from(apart)).sum::<f64>() / apart.len() as f64;
        let most = apart.iter().max().copied().unwrap_or(0);
        assert!(most <= MOST && mean <= MEAN, "{}: most {most}, mean {mean}", name(case));
    }
}

#[test]
fn an_orientation_is_noticed_and_applied_on_request() {
    let turned = bytes("turned.jpg");
    assert!(is_turned(&turned).unwrap() && !is_turned(&bytes("444.jpg")).unwrap());
    assert!(!is_turned(&bytes("rgb.png")).unwrap());
    let (stored, upright) = (decode(&turned).unwrap(), decode_with(&turned, Exif::Apply).unwrap());
    assert_eq!((stored.width, stored.height), (upright.height, upright.width));
    let expected = read("turned-upright.png");
    let most = upright.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(most <= Some(MOST), "{most:?}");
}

#[test]
fn the_palette_of_a_tiff_is_named_as_what_cannot_be_read() {
    let error = decode(&bytes("palette.tiff")).unwrap_err().to_string();
    assert!(error.contains("RGBPalette") && error.contains("help: PNG"), "{error}");
}

#[test]
fn the_first_frame_of_an_animation_does_not_need_the_others() {
    let whole = bytes("animated.gif");
    assert_eq!(decode(&whole[..whole.len() * 2 / 3]).unwrap(), decode(&whole).unwrap());
    assert!(decode(&whole[..whole.len() / 4]).is_err());
}

#[test]
fn files_cut_short_are_refused() {
    for case in cases().iter().filter(|case| name(case) != "animated.gif") {
        let whole = bytes(name(case));
        for share in [1, 2, 3] {
            let cut = &whole[..whole.len() * share / 4];
            let error = decode(cut).err().unwrap_or_else(|| panic!("{} cut to {share}/4 decodes", name(case)));
            assert!(error.to_string().contains("help: "), "{error}");
        }
        // Pillow requires the end marker of a JPEG, too.
        assert!(!name(case).ends_with(".jpg") || decode(&whole[..whole.len() - 2]).is_err(), "{case}");
    }
}
