//! The authors' record: a label byte, then the red, green and blue planes, row by row.

use hashlab_data::Rgb;

/// Pixels per row, and rows.
pub(super) const SIDE: usize = 32;
/// Bytes of a record.
pub(super) const RECORD: usize = 1 + 3 * PLANE;
/// Number of classes.
pub(super) const CLASSES: usize = 10;
/// Blocks of items, of equal size: the authors' batches.
pub(super) const BLOCKS: usize = 6;
/// Blocks that make up the official training part; the last block is the official test part.
pub(super) const TRAIN_BLOCKS: usize = 5;

const PLANE: usize = SIDE * SIDE;

/// What complete files hold. A parameter, so that small fixtures take the way of the real files.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    /// Items per block.
    pub(super) block: usize,
    /// Hexadecimal blake3 over all records up to the end of every block. The last is the digest of the data set; the
    /// others tell which block, and so which file, is damaged.
    pub(super) digests: [&'static str; BLOCKS],
}

/// CIFAR-10 as published, computed over the authors' binary files one after another:
/// ```python
/// h = blake3.blake3()
/// for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
///     h.update(open(name, "rb").read()); print(h.hexdigest())
/// ```
pub(super) const OFFICIAL: Reference = Reference {
    block: 10_000,
    digests: [
        "1b3fcad40d258858f510c4bcd1afcfe8c314b9ce56dd1e5497433a7084a97293",
        "95accd5b5803da710b5d5f4ee4f216f0dea517d9bafb2eedc337b9550a237d45",
        "d7db0dcde678dca0dbb65e634973ec5cddb3665f41342185ad0a71e9003fc659",
        "283115ab2b5af74d782a7b7484d5b61332d02c3301a8421e6baec80bd44bec95",
        "f0e53865cbf2f64238f286e025778266c9b2b7e942b549ff489c29f5825a2738",
        "a0a9e103c4a7038bed52dc1014becf705b8131ee65d76ea25565aa741b90eb23",
    ],
};

impl Reference {
    /// Number of items.
    pub(super) const fn items(&self) -> usize {
        BLOCKS * self.block
    }

    /// The digest of the data set.
    pub(super) const fn digest(&self) -> &'static str {
        self.digests[BLOCKS - 1]
    }

    /// Finds the first block that differs, with the digest that was got in place of the reference's.
    pub(super) fn first_difference(&self, records: &[u8]) -> Option<(usize, String)> {
        prefix_digests(records, self.block).into_iter().enumerate().find(|(at, digest)| digest != self.digests[*at])
    }
}

/// Digests the records up to the end of every block.
pub(super) fn prefix_digests(records: &[u8], block: usize) -> Vec<String> {
    let mut hasher = blake3::Hasher::new();
    records.chunks(block * RECORD).map(|chunk| hasher.update(chunk).finalize().to_hex().to_string()).collect()
}

/// Writes a label and an image of [`SIDE`] × [`SIDE`] pixels into `record`.
pub(super) fn pack(label: u8, image: &Rgb, record: &mut [u8]) {
    record[0] = label;
    for (at, pixel) in image.pixels.chunks_exact(3).enumerate() {
        for (channel, value) in pixel.iter().enumerate() {
            record[1 + channel * PLANE + at] = *value;
        }
    }
}

/// Reads the image of `record`.
pub(super) fn unpack(record: &[u8]) -> Rgb {
    let planes = &record[1..];
    let pixels = (0..PLANE).flat_map(|at| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]]).collect();
    Rgb { width: SIDE, height: SIDE, pixels }
}
