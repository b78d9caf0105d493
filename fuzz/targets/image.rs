//! Images of any format, as data sets and `serve` decode them.
#![no_main]

use hashlab_image::{Exif, decode_with};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    hashlab_fuzz::answered(|| {
        if let Ok(image) = decode_with(bytes, Exif::Apply) {
            assert_eq!(image.pixels.len(), image.width * image.height * 3);
        }
    });
});
