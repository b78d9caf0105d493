//! Images as an array of pixels, such as `IAll` in the files of DCMH and its descendants.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hashlab_data::{DataError, Images, Rgb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::v73::{self, Stored};
use super::{absent, head};
use crate::own::digests::digest_files;
use crate::own::places::damaged;
use crate::own::{Examined, Pictures};

/// Bytes that are read at once, and kept until others are asked for.
const BLOCK: u64 = 64 << 20;

/// Order of an array's axes, as h5py shows them. MATLAB shows them in reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PixelOrder {
    /// Images, colors, columns, rows: MATLAB's rows × columns × 3 × images.
    N3wh,
    /// Images, colors, rows, columns.
    N3hw,
    /// Images, rows, columns, colors.
    Nhw3,
}

impl PixelOrder {
    fn name(self) -> &'static str {
        match self {
            Self::N3wh => "n3wh",
            Self::N3hw => "n3hw",
            Self::Nhw3 => "nhw3",
        }
    }

    /// The order of an array's axes: the one that was `asked` for, or the only one that they leave.
    fn of(name: &str, axes: [u64; 4], by_matlab: bool, asked: Option<Self>) -> Result<Self, (String, &'static str)> {
        let found = format!("`{name}` has the axes {axes:?}, as h5py shows them");
        let is = |order: Self| axes[if order == Self::Nhw3 { 3 } else { 1 }] == 3;
        match asked {
            Some(order) if is(order) => Ok(order),
            Some(order) => Err((format!("{found}: they are not `{}`", order.name()), ORDERS)),
            None if by_matlab && is(Self::N3wh) => Ok(Self::N3wh),
            None if !by_matlab && is(Self::Nhw3) && !is(Self::N3hw) => Ok(Self::Nhw3),
            None if is(Self::N3wh) || is(Self::Nhw3) => Err((format!("{found}: their order is not certain"), ORDERS)),
            None => Err((format!("{found}: neither the second nor the last is of three colors"), OTHERWISE)),
        }
    }
}

const ORDERS: &str = "set `pixel_order` in [data]: \"n3wh\" for images, colors, columns, rows, as MATLAB writes DCMH's `IAll`; \
                      \"n3hw\" for images, colors, rows, columns; \"nhw3\" for images, rows, columns, colors";
const OTHERWISE: &str = "images are the first axis in h5py, hence the last one in MATLAB; docs/own-data.md has a program that \
                         writes other arrays as image files, for data set `image_list`";

/// The images of an array.
pub(crate) struct PixelArray {
    path: PathBuf,
    name: &'static str,
    stored: Stored,
    order: PixelOrder,
    /// Number of images, and their height and width.
    sizes: [usize; 3],
    /// Images that are read at once.
    together: usize,
    /// Number of the block that was read last, and its bytes.
    block: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

impl PixelArray {
    /// Opens the first array of one of these names; no image is read yet.
    ///
    /// # Errors
    /// If the file cannot be read, is of another version than 7.3, or the array is none of images.
    pub(crate) fn open(
        path: &Path,
        names: &'static [&'static str],
        asked: Option<PixelOrder>,
    ) -> Result<Self, DataError> {
        if !v73::is(&head(path)?) {
            let problem = "images are read from files of MATLAB's version 7.3 alone, and this is none";
            return Err(damaged(
                path,
                problem,
                "write it again: `save(FILE, 'IAll', '-v7.3')` in MATLAB, or with h5py",
            ));
        }
        let help = "an array of images is of type uint8, with the axes images, colors, columns, rows in h5py";
        let wrong = |problem: String| damaged(path, problem, help);
        let (name, stored) = match v73::find(path, names).map_err(wrong)? {
            Ok(found) => found,
            Err(others) => return Err(absent(path, names, &others)),
        };
        let axes = stored.pixel_axes().map_err(wrong)?;
        let order = PixelOrder::of(name, axes, stored.by_matlab(), asked);
        let order = order.map_err(|(problem, help)| damaged(path, problem, help))?;
        let [items, a, b, c] = axes.map(|axis| axis as usize);
        let (height, width) = match order {
            PixelOrder::N3wh => (c, b),
            PixelOrder::N3hw => (b, c),
            PixelOrder::Nhw3 => (a, b),
        };
        // What is compressed together is read together.
        let most = (BLOCK / (3 * height * width).max(1) as u64).max(1);
        let together = stored.rows_together().clamp(1, most) as usize;
        let sizes = [items, height, width];
        Ok(Self { path: path.to_owned(), name, stored, order, sizes, together, block: Mutex::new(None) })
    }

    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        self.sizes[0]
    }

    /// The array, for people.
    pub(crate) fn described(&self) -> String {
        let [items, height, width] = self.sizes;
        format!("{items} images of {width} × {height} pixels in `{}` of {}", self.name, self.path.display())
    }

    /// The bytes of the block with so many images, which begin with the first.
    fn block(&self, number: usize) -> Result<Arc<Vec<u8>>, DataError> {
        // Threads that ask for the same block wait for the one that reads it.
        let mut last = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, bytes)) = &*last
            && *known == number
        {
            return Ok(bytes.clone());
        }
        let first = number * self.together;
        let rows = self.together.min(self.len() - first);
        let [_, height, width] = self.sizes;
        let wrong = |problem: String| damaged(&self.path, problem, "the file is cut short or damaged: fetch it again");
        let bytes = self.stored.rows(first as u64, rows as u64).map_err(wrong)?;
        if bytes.len() != rows * height * width * 3 {
            return Err(wrong(format!("images {first} to {} are not there", first + rows - 1)));
        }
        let bytes = Arc::new(bytes);
        *last = Some((number, bytes.clone()));
        Ok(bytes)
    }
}

impl Images for PixelArray {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        let [_, height, width] = self.sizes;
        let block = self.block(index / self.together)?;
        let stored = &block[index % self.together * height * width * 3..][..height * width * 3];
        let place = |y: usize, x: usize, color: usize| match self.order {
            PixelOrder::N3wh => (color * width + x) * height + y,
            PixelOrder::N3hw => (color * height + y) * width + x,
            PixelOrder::Nhw3 => (y * width + x) * 3 + color,
        };
        let pixel = |y: usize, x: usize| [0, 1, 2].map(|color| stored[place(y, x, color)]);
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(y, x))).collect();
        Ok(Rgb { width, height, pixels })
    }
}

impl Pictures for PixelArray {
    fn examine(&mut self, _: bool, notes: Option<&Path>) -> Result<Examined, DataError> {
        let known = digest_files(1, |_| self.path.clone(), false, notes)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&known[0].digest).update(self.name.as_bytes()).update(self.order.name().as_bytes());
        Ok(Examined { digest: *hasher.finalize().as_bytes(), missing: Vec::new(), undecodable: Vec::new() })
    }

    fn name(&self, index: usize) -> String {
        format!("{}#{}, image {index}", self.path.display(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mat/dcmh").join(name)
    }

    /// Color `c` at row `y` and column `x` of image `n`, as the fixtures have it.
    fn expected(n: usize) -> Vec<u8> {
        let value = |y: usize, x: usize, c: usize| (60 * n + 12 * y + 3 * x + c) as u8;
        (0..5).flat_map(|y| (0..4).flat_map(move |x| (0..3).map(move |c| value(y, x, c)))).collect()
    }

    #[test]
    fn images_are_those_that_were_written_whatever_the_order() {
        let cases = [
            ("iall.mat", "IAll", None),
            ("iall.mat", "IAll", Some(PixelOrder::N3wh)),
            ("iall.h5", "n3wh", Some(PixelOrder::N3wh)),
            ("iall.h5", "n3hw", Some(PixelOrder::N3hw)),
            ("iall.h5", "nhw3", None),
        ];
        for (file, name, order) in cases {
            let names = Box::leak(Box::new([name]));
            let array = PixelArray::open(&fixture(file), names, order).unwrap();
            assert_eq!(array.sizes, [12, 5, 4], "{file}#{name}");
            for n in [0, 11, 3, 4, 7, 8] {
                assert_eq!(array.image(n).unwrap(), Rgb { width: 4, height: 5, pixels: expected(n) }, "{file}#{name}");
            }
        }
    }

    #[test]
    fn what_is_uncertain_is_asked_for() {
        let refused = |file: &str, name: &'static str, order| {
            let names = Box::leak(Box::new([name]));
            let message = PixelArray::open(&fixture(file), names, order).err().unwrap().to_string();
            message.replace(&fixture("").display().to_string(), "")
        };
        insta::assert_snapshot!(
            [
                refused("iall.h5", "n3wh", None),
                refused("iall.h5", "nhw3", Some(PixelOrder::N3wh)),
                refused("iall.h5", "items_last", None),
                refused("iall.h5", "floats", None),
                refused("iall.h5", "flat", None),
                refused("iall.h5", "IAll", None),
                refused("../plain/label.mat", "IAll", None),
            ]
            .join("\n\n")
        );
    }
}
