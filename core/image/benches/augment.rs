//! Images per second on one thread, for each primitive and each whole transform, from a 32 × 32 image.
//!
//! `cargo bench -p hashlab-image`
#![allow(clippy::print_stdout, reason = "the result of a benchmark is its output")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use hashlab_image::{
    ColorJitter, Filter, IMAGENET, RandomResizedCrop, Rgb, Step, Transform, adjust_brightness, adjust_contrast,
    adjust_hue, adjust_saturation, gaussian_blur, gaussian_blur_3, grayscale, hflip, resize, to_hwc,
};

const SIZE: usize = 128;
/// Views in a round: enough for the random steps to happen as often as they should.
const VIEWS: u32 = 200;

fn main() {
    let small = waves(32);
    let large = waves(SIZE);
    println!("{:<20} {:>12} {:>10}", "at 128 x 128", "images/s", "ms/image");
    measure("resize_bilinear", || drop(black_box(resize(&small, SIZE, SIZE, Filter::Bilinear))));
    measure("resize_bicubic", || drop(black_box(resize(&small, SIZE, SIZE, Filter::Bicubic))));
    measure_in_place("hflip", &large, hflip);
    measure_in_place("brightness", &large, |image| adjust_brightness(image, 1.2));
    measure_in_place("contrast", &large, |image| adjust_contrast(image, 1.2));
    measure_in_place("saturation", &large, |image| adjust_saturation(image, 1.2));
    measure_in_place("hue", &large, |image| adjust_hue(image, 0.07));
    measure_in_place("grayscale", &large, grayscale);
    measure_in_place("gaussian_blur_3", &large, |image| gaussian_blur_3(image, 1.1));
    measure_in_place("gaussian_blur", &large, |image| gaussian_blur(image, 1.1));
    let mut out = vec![0.0; 3 * SIZE * SIZE];
    measure("to_hwc", || to_hwc(&large, &IMAGENET, black_box(&mut out)));
    let crop = Step::RandomResizedCrop(RandomResizedCrop::new(SIZE, (0.5, 1.0)));
    let flip = Step::Flip { p: 0.5 };
    let jitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let colors = [Step::ColorJitter { jitter, p: 0.7 }, Step::Grayscale { p: 0.2 }];
    let sigma = (0.1, 2.0);
    for (name, transform) in [
        ("crop + flip", Transform::new([crop, flip])),
        ("… + colors", Transform::new([crop, flip, colors[0], colors[1]])),
        ("… + opencv_blur", Transform::new([crop, flip, colors[0], colors[1], Step::OpenCvBlur { sigma, p: 0.5 }])),
        ("… + pillow_blur", Transform::new([crop, flip, colors[0], colors[1], Step::PillowBlur { sigma, p: 1.0 }])),
    ] {
        measure_many(name, VIEWS, || {
            for item in 0..VIEWS {
                let mut stream = hashlab_rng::stream(0, "view", &[u64::from(item)]);
                drop(black_box(transform.apply(&small, &mut stream)));
            }
        });
    }
}

fn measure_in_place(name: &str, image: &Rgb, change: impl Fn(&mut Rgb)) {
    let mut work = image.clone();
    measure(name, || {
        work.pixels.copy_from_slice(&image.pixels);
        change(black_box(&mut work));
    });
}

fn measure(name: &str, step: impl FnMut()) {
    measure_many(name, 1, step);
}

/// Prints the rate of the best of many short rounds, the one least disturbed by other processes.
fn measure_many(name: &str, images: u32, mut step: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..50 {
        let (start, mut steps) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(20) {
            step();
            steps += 1;
        }
        best = best.min(start.elapsed() / (steps * images));
    }
    println!("{name:<20} {:>12.0} {:>10.4}", 1.0 / best.as_secs_f64(), 1e3 * best.as_secs_f64());
}

/// A square image of smooth colors with some noise, like a photograph.
fn waves(size: usize) -> Rgb {
    let mut stream = hashlab_rng::stream(0, "bench", &[]);
    let mut pixels = Vec::with_capacity(size * size * 3);
    for i in 0..size * size {
        let (x, y) = ((i % size) as f64 / size as f64, (i / size) as f64 / size as f64);
        for phase in [9.0 * x + 4.0 * y, 5.0 * x - 8.0 * y, 20.0 * x * y] {
            pixels.push((127.5 + 110.0 * phase.sin() + stream.uniform_in(-8.0, 8.0)) as u8);
        }
    }
    Rgb { width: size, height: size, pixels }
}
