//! Crops and flips.

use hashlab_rng::Stream;

use crate::{Filter, Region, Rgb, resize, resize_region};

/// Cuts `region` out of an image.
///
/// # Panics
/// If `region` reaches beyond the image.
pub fn crop(image: &Rgb, region: Region) -> Rgb {
    region.check_inside(image);
    let mut pixels = Vec::with_capacity(region.width * region.height * 3);
    for y in region.top..region.top + region.height {
        pixels.extend_from_slice(&image.pixels[3 * (y * image.width + region.left)..][..3 * region.width]);
    }
    Rgb { width: region.width, height: region.height, pixels }
}

/// Resizes the shorter side to `shorter` pixels and cuts `size × size` from the middle, as `Resize(shorter)` and
/// `CenterCrop(size)` of torchvision do.
pub(crate) fn resize_crop(image: &Rgb, shorter: usize, size: usize, filter: Filter) -> Rgb {
    let least = image.width.min(image.height);
    let scaled = |side: usize| if side == least { shorter } else { shorter * side / least };
    let resized = resize(image, scaled(image.width), scaled(image.height), filter);
    // Python's `round` takes halves to the even number.
    let middle = |side: usize| ((side - size) as f64 / 2.0).round_ties_even() as usize;
    crop(&resized, Region { left: middle(resized.width), top: middle(resized.height), width: size, height: size })
}

/// Mirrors an image left to right.
pub fn hflip(image: &mut Rgb) {
    let width = image.width.max(1);
    for row in image.triples_mut().chunks_exact_mut(width) {
        row.reverse();
    }
}

/// A crop of random area and aspect ratio, resized to a square: torchvision's `RandomResizedCrop`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomResizedCrop {
    /// Edge of the output, in pixels.
    pub size: usize,
    /// Lowest and highest area, as a fraction of the image's.
    pub scale: (f64, f64),
    /// Lowest and highest width over height.
    pub ratio: (f64, f64),
}

impl RandomResizedCrop {
    /// Draws of a crop before the central one is taken.
    const TRIES: usize = 10;

    /// A crop of `size` pixels with torchvision's range of aspect ratios, ¾ to 4⁄3.
    pub fn new(size: usize, scale: (f64, f64)) -> Self {
        Self { size, scale, ratio: (3.0 / 4.0, 4.0 / 3.0) }
    }

    /// Draws a region, cuts it out and resizes it (bilinear).
    pub fn apply(&self, image: &Rgb, stream: &mut Stream) -> Rgb {
        resize_region(image, self.draw(image, stream), self.size, self.size)
    }

    /// Draws a region as `RandomResizedCrop.get_params` does: the area uniform, the ratio uniform in its logarithm.
    pub fn draw(&self, image: &Rgb, stream: &mut Stream) -> Region {
        let area = (image.width * image.height) as f64;
        let log_ratio = (self.ratio.0.ln(), self.ratio.1.ln());
        for _ in 0..Self::TRIES {
            let target = area * stream.uniform_in(self.scale.0, self.scale.1);
            let ratio = stream.uniform_in(log_ratio.0, log_ratio.1).exp();
            let width = (target * ratio).sqrt().round_ties_even() as usize;
            let height = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=image.width).contains(&width) && (1..=image.height).contains(&height) {
                let top = stream.below(image.height - height + 1);
                let left = stream.below(image.width - width + 1);
                return Region { left, top, width, height };
            }
        }
        self.fallback(image)
    }

    /// The largest central region whose ratio is within the range.
    fn fallback(&self, image: &Rgb) -> Region {
        let (width, height) = (image.width as f64, image.height as f64);
        let ratio = width / height;
        if ratio < self.ratio.0 {
            Region::central(image, image.width, (width / self.ratio.0).round_ties_even() as usize)
        } else if ratio > self.ratio.1 {
            Region::central(image, (height * self.ratio.1).round_ties_even() as usize, image.height)
        } else {
            image.region()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank(width: usize, height: usize) -> Rgb {
        Rgb { width, height, pixels: vec![0; width * height * 3] }
    }

    /// Red is the column, green the row.
    fn ramp(width: usize, height: usize) -> Rgb {
        let pixels = (0..width * height).flat_map(|at| [(at % width) as u8, (at / width) as u8, 0]).collect();
        Rgb { width, height, pixels }
    }

    #[test]
    fn the_middle_is_cut_out_with_halves_rounded_to_even() {
        // The shorter side has the requested length, so that nothing is interpolated. 2.5 rounds to 2, 3.5 to 4.
        for (longer, start) in [(4, 0), (5, 0), (6, 1), (7, 2), (9, 2), (10, 3), (11, 4)] {
            let wide = resize_crop(&ramp(longer, 4), 4, 4, Filter::Bicubic);
            assert_eq!(wide, crop(&ramp(longer, 4), Region { left: start, top: 0, width: 4, height: 4 }), "{longer}");
            let tall = resize_crop(&ramp(4, longer), 4, 4, Filter::Bicubic);
            assert_eq!(tall, crop(&ramp(4, longer), Region { left: 0, top: start, width: 4, height: 4 }), "{longer}");
        }
    }

    #[test]
    fn the_aspect_ratio_is_kept_and_the_longer_side_rounded_down() {
        // 5 × 3 at a shorter side of 8 is 13 × 8 (40 / 3 = 13.3), of which the middle 6 × 6 begin at (3.5 → 4, 1).
        let whole = resize(&ramp(5, 3), 13, 8, Filter::Bilinear);
        let expected = crop(&whole, Region { left: 4, top: 1, width: 6, height: 6 });
        assert_eq!(resize_crop(&ramp(5, 3), 8, 6, Filter::Bilinear), expected);
    }

    #[test]
    fn drawn_regions_keep_to_area_and_ratio_and_reach_every_edge() {
        let image = blank(320, 240);
        let crop = RandomResizedCrop::new(128, (0.5, 1.0));
        let mut stream = hashlab_rng::stream(0, "crop", &[]);
        let regions: Vec<Region> = (0..4000).map(|_| crop.draw(&image, &mut stream)).collect();
        for region in &regions {
            region.check_inside(&image);
            let ratio = region.width as f64 / region.height as f64;
            let area = (region.width * region.height) as f64 / (320.0 * 240.0);
            // Rounding both sides to whole pixels moves ratio and area by less than a percent.
            assert!((0.745..=1.345).contains(&ratio), "{region:?}");
            assert!((0.495..=1.0).contains(&area), "{region:?}");
        }
        assert!(regions.iter().any(|r| r.left == 0) && regions.iter().any(|r| r.left + r.width == 320));
        assert!(regions.iter().any(|r| r.top == 0) && regions.iter().any(|r| r.top + r.height == 240));
    }

    #[test]
    fn drawn_ratio_is_symmetric_in_its_logarithm_and_area_uniform() {
        // Small crops are never rejected, so the draws show the plain distributions.
        let image = blank(1000, 1000);
        let crop = RandomResizedCrop::new(128, (0.1, 0.3));
        let mut stream = hashlab_rng::stream(1, "crop", &[]);
        let n = 20_000;
        let (mut log_ratio, mut area) = (0.0, 0.0);
        for _ in 0..n {
            let region = crop.draw(&image, &mut stream);
            log_ratio += (region.width as f64 / region.height as f64).ln();
            area += (region.width * region.height) as f64 / 1e6;
        }
        assert!((log_ratio / f64::from(n)).abs() < 0.005);
        assert!((area / f64::from(n) - 0.2).abs() < 0.002);
    }

    #[test]
    fn central_region_is_taken_where_no_draw_can_fit() {
        let crop = RandomResizedCrop::new(128, (0.9, 1.0));
        let mut stream = hashlab_rng::stream(2, "crop", &[]);
        let wide = crop.draw(&blank(400, 30), &mut stream);
        assert_eq!(wide, Region { left: 180, top: 0, width: 40, height: 30 });
        let tall = crop.draw(&blank(30, 400), &mut stream);
        assert_eq!(tall, Region { left: 0, top: 180, width: 30, height: 40 });
    }
}
