//! From a folder of JPEG files to normalized images, as the data set `image_folder` reads it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use hashlab_data::{DataDirs, ItemData, Modality};
use hashlab_image::{IMAGENET, Transform, to_hwc};
use hashlab_rng::stream;
use rayon::prelude::*;
use serde_json::json;

use crate::Work;

const SIZE: usize = 224;
/// Images that are made together, as large as the batches of the peer.
const BATCH: usize = 64;

pub(crate) fn work(dir: &Path) -> Result<Work> {
    let entry = hashlab_datasets::DATASETS.iter().find(|entry| entry.summary.name == "image_folder");
    let settings = json!({"dir": dir.join("photos"), "queries": 10});
    let settings = settings.as_object().context("settings are a table")?;
    let dataset = entry.context("no data set `image_folder`")?.open(settings, &DataDirs::of(Vec::new()))?;
    let transform = Transform::resize(SIZE);
    Ok(Box::new(move |iterations| {
        let Some(ItemData::Images(images)) = dataset.data(Modality::Image) else { bail!("a folder has images") };
        let items: Vec<usize> = (0..iterations).collect();
        for batch in items.chunks(BATCH) {
            let mut pixels = vec![0f32; batch.len() * SIZE * SIZE * 3];
            let all = pixels.par_chunks_exact_mut(SIZE * SIZE * 3).zip(batch);
            all.try_for_each(|(out, &item)| {
                let image = images.image(item % dataset.len())?;
                to_hwc(&transform.apply(&image, &mut stream(0, "plain", &[])), &IMAGENET, out);
                anyhow::Ok(())
            })?;
            std::hint::black_box(pixels);
        }
        Ok(None)
    }))
}
