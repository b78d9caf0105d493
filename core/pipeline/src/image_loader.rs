//! Loader of a data set's images for an encoder.

use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use hashlab_data::{Dataset, ItemData, Modality, Rgb};
use hashlab_encoders::Preprocess;
use hashlab_image::{Normalize, Transform, to_hwc};
use hashlab_rng::{Stream, stream};
use rayon::prelude::*;

use crate::inputs::Inputs;

/// Loader of a data set's images for an encoder: `(n, size, size, 3)`, normalized, on its device.
#[derive(Clone, Copy)]
pub struct ImageLoader<'a> {
    /// The data set.
    pub dataset: &'a dyn Dataset,
    /// Side in pixels.
    pub size: usize,
    /// Conversion of an image to that size, without augmentation.
    pub preprocess: Preprocess,
    /// The encoder's mean and standard deviation of each color.
    pub normalize: Normalize,
    /// Device of the tensors.
    pub device: &'a Device,
}

impl ImageLoader<'_> {
    /// Decodes and transforms images on all threads of the current pool; `draw` opens the stream of each position.
    pub(crate) fn pixels(
        &self,
        items: &[u32],
        transform: &Transform,
        draw: impl Fn(usize) -> Stream + Sync,
    ) -> Result<Vec<f32>> {
        let mut values = vec![0f32; items.len() * self.pixels_of_one()];
        self.write_pixels(items, transform, draw, &mut values)?;
        Ok(values)
    }

    /// Numbers per image.
    pub(crate) fn pixels_of_one(&self) -> usize {
        self.size * self.size * 3
    }

    /// Writes [`Self::pixels`] to the beginning of `values`.
    pub(crate) fn write_pixels(
        &self,
        items: &[u32],
        transform: &Transform,
        draw: impl Fn(usize) -> Stream + Sync,
        values: &mut [f32],
    ) -> Result<()> {
        let each = values.par_chunks_exact_mut(self.pixels_of_one()).zip(items).enumerate();
        each.try_for_each(|(at, (out, &item))| self.read(item, transform, draw(at), out))
    }

    /// The pixels `(size, size, 3)` of an image of no data set, without augmentation.
    pub(crate) fn pixels_of(&self, image: &Rgb) -> Vec<f32> {
        let mut values = vec![0f32; self.pixels_of_one()];
        // The transform is fixed, so the stream does not matter.
        let image = self.preprocess.transform(self.size).apply(image, &mut stream(0, "plain", &[]));
        to_hwc(&image, &self.normalize, &mut values);
        values
    }

    /// Decodes and transforms one image.
    fn read(&self, item: u32, transform: &Transform, mut draws: Stream, out: &mut [f32]) -> Result<()> {
        let Some(ItemData::Images(images)) = self.dataset.data(Modality::Image) else {
            bail!("the items have no images")
        };
        let image = images.image(item as usize)?;
        to_hwc(&transform.apply(&image, &mut draws), &self.normalize, out);
        Ok(())
    }

    pub(crate) fn tensor(&self, values: Vec<f32>) -> Result<Tensor> {
        let items = values.len() / (self.size * self.size * 3);
        Ok(Tensor::from_vec(values, (items, self.size, self.size, 3), self.device)?)
    }

    /// Loads views of `items` under `transform`, with the stream of each position.
    pub(crate) fn load_views(
        &self,
        items: &[u32],
        transform: &Transform,
        draw: impl Fn(usize) -> Stream + Sync,
    ) -> Result<Tensor> {
        self.tensor(self.pixels(items, transform, draw)?)
    }

    /// Loads views of `items` on this thread; `draw` opens the stream of each item.
    pub(crate) fn load_views_serially(
        &self,
        items: &[u32],
        transform: &Transform,
        draw: impl Fn(u32) -> Stream,
    ) -> Result<Tensor> {
        let pixels = self.size * self.size * 3;
        let mut values = vec![0f32; items.len() * pixels];
        let mut each = values.chunks_exact_mut(pixels).zip(items);
        each.try_for_each(|(out, &item)| self.read(item, transform, draw(item), out))?;
        self.tensor(values)
    }
}

impl Inputs for ImageLoader<'_> {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn chunk(&self) -> usize {
        64
    }

    fn load(&self, items: &[u32]) -> Result<Tensor> {
        // The transform is fixed, so the stream does not matter.
        self.load_views(items, &self.preprocess.transform(self.size), |_| stream(0, "plain", &[]))
    }
}
