//! From the bytes of a PNG to a normalized view of it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use hashlab_image::{IMAGENET, Transform, decode, to_hwc};
use hashlab_method::{AnyMethod, BuildContext, ViewSpec};
use hashlab_rng::stream;
use hashlab_settings::Settings;
use rayon::prelude::*;

use crate::Work;
use crate::prepare::{IMAGES, image_path};

const SIZE: usize = 128;
/// Views that are made together, as large as the batches of the peer.
const BATCH: usize = 64;

pub(crate) fn work(dir: &Path) -> Result<Work> {
    let images: Vec<Vec<u8>> =
        (0..IMAGES).map(|item| std::fs::read(image_path(dir, item))).collect::<Result<_, _>>()?;
    let transform = cibhash_transform()?;
    let mut seed = 0;
    Ok(Box::new(move |iterations| {
        seed += 1;
        let items: Vec<usize> = (0..iterations).collect();
        for batch in items.chunks(BATCH) {
            let mut pixels = vec![0f32; batch.len() * SIZE * SIZE * 3];
            let views = pixels.par_chunks_exact_mut(SIZE * SIZE * 3).zip(batch);
            views.try_for_each(|(out, &item)| {
                let image = decode(&images[item % IMAGES])?;
                let mut draws = stream(seed, "view", &[item as u64]);
                to_hwc(&transform.apply(&image, &mut draws), &IMAGENET, out);
                anyhow::Ok(())
            })?;
            std::hint::black_box(pixels);
        }
        Ok(None)
    }))
}

/// The transform that CIBHash asks for.
fn cibhash_transform() -> Result<Transform> {
    let entry = hashlab_methods::METHODS.iter().find(|m| m.info.name == "cibhash").context("no CIBHash")?;
    let AnyMethod::Trained(method) = entry.build(&Settings::new(), &BuildContext::of_images(16, 16))? else {
        bail!("CIBHash learns by gradients")
    };
    match &method.batch_spec().views[0] {
        ViewSpec::Image(make) => Ok(make(SIZE)),
        ViewSpec::Text => bail!("CIBHash was built for images"),
    }
}
