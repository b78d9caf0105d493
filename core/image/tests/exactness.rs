//! Every primitive against Pillow, torchvision and OpenCV, all pixels equal.
//!
//! `fixtures/generate.py` writes the expected outputs.

use std::path::{Path, PathBuf};

use hashlab_image::{
    Filter, Region, Rgb, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, crop, decode,
    gaussian_blur, gaussian_blur_3, grayscale, hflip, resize, resize_region,
};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(name: &str) -> Rgb {
    decode(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

fn in_place(source: &Rgb, change: impl FnOnce(&mut Rgb)) -> Rgb {
    let mut image = source.clone();
    change(&mut image);
    image
}

/// Runs the primitive that a case names.
fn run(primitive: &str, source: &Rgb, args: &[f64]) -> Rgb {
    let sizes: Vec<usize> = args.iter().map(|&arg| arg as usize).collect();
    let region = || Region { left: sizes[0], top: sizes[1], width: sizes[2], height: sizes[3] };
    match primitive {
        "resize_bilinear" => resize(source, sizes[0], sizes[1], Filter::Bilinear),
        "resize_bicubic" => resize(source, sizes[0], sizes[1], Filter::Bicubic),
        "resize_region" => resize_region(source, region(), sizes[4], sizes[5]),
        "crop" => crop(source, region()),
        "hflip" => in_place(source, hflip),
        "brightness" => in_place(source, |image| adjust_brightness(image, args[0])),
        "contrast" => in_place(source, |image| adjust_contrast(image, args[0])),
        "saturation" => in_place(source, |image| adjust_saturation(image, args[0])),
        "hue" => in_place(source, |image| adjust_hue(image, args[0])),
        "grayscale" => in_place(source, grayscale),
        "gaussian_blur_3" => in_place(source, |image| gaussian_blur_3(image, args[0])),
        "gaussian_blur" => in_place(source, |image| gaussian_blur(image, args[0])),
        other => panic!("no primitive {other}"),
    }
}

/// Compares one case: with its pixels where they are stored, and always with their digest.
fn check(case: &Value) {
    let args: Vec<f64> = case["args"].as_array().unwrap().iter().map(|arg| arg.as_f64().unwrap()).collect();
    let source = read(&format!("{}.png", case["source"].as_str().unwrap()));
    let got = run(case["primitive"].as_str().unwrap(), &source, &args);
    if let Some(png) = case["png"].as_str() {
        let expected = read(png);
        let differs = got.pixels.iter().zip(&expected.pixels).position(|(a, b)| a != b);
        assert_eq!(differs.map(|at| (at, got.pixels[at], expected.pixels[at])), None, "{case}");
    }
    assert_eq!(serde_json::json!([got.width, got.height]), case["size"], "{case}");
    assert_eq!(blake3::hash(&got.pixels).to_hex()[..32], *case["digest"].as_str().unwrap(), "{case}");
}

/// Checks the cases of the given primitives; fails if one has none.
fn check_all(primitives: &[&str]) {
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(fixture("cases.json")).unwrap()).unwrap();
    for primitive in primitives {
        let mut checked = 0;
        for case in cases.iter().filter(|case| case["primitive"] == *primitive) {
            check(case);
            checked += 1;
        }
        assert!(checked > 0, "no case of {primitive}");
    }
}

#[test]
fn resizing_equals_pillows() {
    check_all(&["resize_bilinear", "resize_bicubic", "resize_region"]);
}

#[test]
fn crop_and_flip_equal_pillows() {
    check_all(&["crop", "hflip"]);
}

#[test]
fn color_changes_equal_torchvisions() {
    check_all(&["brightness", "contrast", "saturation", "hue", "grayscale"]);
}

#[test]
fn blurs_equal_opencvs_and_pillows() {
    check_all(&["gaussian_blur_3", "gaussian_blur"]);
}

#[test]
fn lossless_files_decode_to_their_pixels() {
    let smooth = read("smooth.png");
    assert_eq!((smooth.width, smooth.height), (37, 53));
    assert_eq!(read("decode.webp"), smooth);
    assert_eq!(read("decode-rgba.png"), smooth, "alpha is dropped");
    assert_eq!(read("decode-grey.png"), in_place(&smooth, grayscale));
}

#[test]
fn jpeg_decodes_to_nearly_its_pixels() {
    let (smooth, jpeg) = (read("smooth.png"), read("decode.jpg"));
    assert_eq!((jpeg.width, jpeg.height), (37, 53));
    let error: u64 = smooth.pixels.iter().zip(&jpeg.pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(error < 4 * smooth.pixels.len() as u64, "mean error {}", error as f64 / smooth.pixels.len() as f64);
}

#[test]
fn damaged_and_foreign_files_are_errors_that_say_what_to_do() {
    let png = std::fs::read(fixture("smooth.png")).unwrap();
    for (bytes, help) in [(&png[..200], "help: the file is cut short"), (b"%PDF-1.7", "help: PNG"), (b"", "help: PNG")]
    {
        let message = decode(bytes).unwrap_err().to_string();
        assert!(message.contains(&format!("{} bytes", bytes.len())) && message.contains(help), "{message}");
    }
}
