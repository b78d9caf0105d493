//! Hue shift through Pillow's 8-bit HSV (`libImaging/Convert.c`).

use std::sync::LazyLock;

use crate::Rgb;

/// Turns the hue by `factor` of the circle (−½ to ½) as `torchvision.transforms.functional.adjust_hue` does.
///
/// Even a factor of 0 changes pixels, because 8-bit HSV cannot represent every color.
pub fn adjust_hue(image: &mut Rgb, factor: f64) {
    // The cast to int truncates, the one to a byte wraps.
    let shift = (factor * 255.0) as i32 as u8;
    let tables = &*TABLES;
    // Two passes over the image, which were measured to take half the time of one.
    for pixel in image.triples_mut() {
        let [hue, saturation, value] = tables.to_hsv(*pixel);
        *pixel = [hue.wrapping_add(shift), saturation, value];
    }
    for pixel in image.triples_mut() {
        *pixel = tables.to_rgb(*pixel);
    }
}

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

/// Pillow's conversions, which mix single and double precision, for every argument: eight times as fast as computing.
struct Tables {
    /// Hue by highest channel, chroma (highest minus lowest) and signed difference of the other two channels, plus 256.
    hue: Vec<[[u8; 512]; 256]>,
    /// Saturation by chroma and value.
    saturation: Vec<[u8; 256]>,
    /// Factors of each hue in the conversion to RGB.
    sectors: [Sector; 256],
}

/// A hue, as its sixth of the circle and the position within.
#[derive(Clone, Copy)]
struct Sector {
    /// Position of the highest, middle and lowest value in red, green and blue.
    order: [u8; 3],
    /// Position of the middle channel between the highest and the lowest.
    fall: f64,
}

impl Tables {
    fn new() -> Self {
        let mut tables = Self {
            hue: vec![[[0; 512]; 256]; 3],
            saturation: vec![[0; 256]; 256],
            sectors: std::array::from_fn(|hue| sector(hue as u8)),
        };
        // Chroma 0 keeps hue and saturation 0.
        for chroma in 1..=255u8 {
            for value in chroma..=255 {
                tables.saturation[usize::from(chroma)][usize::from(value)] = saturation(chroma, value);
            }
            let reach = i32::from(chroma);
            for (highest, by_chroma) in tables.hue.iter_mut().enumerate() {
                for difference in -reach..=reach {
                    by_chroma[usize::from(chroma)][(difference + 256) as usize] = hue(highest, chroma, difference);
                }
            }
        }
        tables
    }

    fn to_hsv(&self, pixel: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = pixel.map(i32::from);
        let max = r.max(g).max(b);
        let chroma = (max - r.min(g).min(b)) as usize & 255;
        let (highest, difference) = if r == max {
            (0, g - b)
        } else if g == max {
            (1, b - r)
        } else {
            (2, r - g)
        };
        let hue = self.hue[highest][chroma][(difference + 256) as usize & 511];
        [hue, self.saturation[chroma][max as usize & 255], max as u8]
    }

    /// Pillow's `hsv2rgb`.
    fn to_rgb(&self, [hue, saturation, value]: [u8; 3]) -> [u8; 3] {
        let Sector { order, fall } = self.sectors[usize::from(hue)];
        let saturation = f64::from((f64::from(saturation) / 255.0) as f32);
        let level = |fall: f64| (f64::from(value) * (1.0 - saturation * fall) + 0.5) as u8;
        let levels = [value, level(fall), level(1.0), 0];
        order.map(|place| levels[usize::from(place & 3)])
    }
}

/// Saturation as `rgb2hsv_row` computes it.
fn saturation(chroma: u8, value: u8) -> u8 {
    (f64::from(f32::from(chroma) / f32::from(value)) * 255.0) as u8
}

/// Hue as `rgb2hsv_row` computes it, from the highest channel and the next minus the one after it, around the circle.
fn hue(highest: usize, chroma: u8, difference: i32) -> u8 {
    let chroma = f32::from(chroma);
    // One of those two is the lowest channel, whose distance from the highest is the chroma.
    let difference = difference as f32;
    let ahead = (chroma + difference.min(0.0)) / chroma;
    let behind = (chroma - difference.max(0.0)) / chroma;
    let sixths = (2.0 * highest as f64 + f64::from(ahead) - f64::from(behind)) as f32;
    let turns = ((f64::from(sixths) / 6.0 + 1.0) % 1.0) as f32;
    (f64::from(turns) * 255.0) as u8
}

/// Sixth of the circle and position within, as `hsv2rgb` computes them.
fn sector(hue: u8) -> Sector {
    const ORDERS: [[u8; 3]; 6] = [[0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0], [1, 2, 0], [0, 2, 1]];
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sixth = sixths as usize;
    let fraction = f64::from((sixths - sixth as f64) as f32);
    Sector { order: ORDERS[sixth % 6], fall: if sixth.is_multiple_of(2) { 1.0 - fraction } else { fraction } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digest over `convert` of all 2²⁴ triples, in ascending order.
    fn digest_of_all(convert: impl Fn([u8; 3]) -> [u8; 3]) -> String {
        let mut hasher = blake3::Hasher::new();
        for first in 0..=255 {
            let plane: Vec<u8> =
                (0..1 << 16).flat_map(|rest: u32| convert([first, (rest >> 8) as u8, rest as u8])).collect();
            hasher.update(&plane);
        }
        hasher.finalize().to_hex().to_string()
    }

    // Both digests are printed by tests/fixtures/generate.py (`Image.convert`, Pillow 12.3.0).

    #[test]
    fn every_rgb_color_becomes_pillows_hsv() {
        assert_eq!(
            digest_of_all(|rgb| TABLES.to_hsv(rgb)),
            "82eb82b271dc490864226446e899e333497568dd25181e5bb107461b78bd5eb5"
        );
    }

    #[test]
    fn every_hsv_color_becomes_pillows_rgb() {
        assert_eq!(
            digest_of_all(|hsv| TABLES.to_rgb(hsv)),
            "71cfd268c5f3694c49ffefb76121ce8ce26c74dd5ff9ac443327e8733b84a737"
        );
    }
}
