//! Validation of batch sizes, of the devices that divide a batch, and of the type that encoders are trained in.

use anyhow::{Result, bail, ensure};
use hashlab_data::Modality;
use hashlab_encoders::EncoderEntry;
use hashlab_store::RunConfig;
use hashlab_train::TrainConfig;

use crate::config::{ComputeDtype, ImageConfig, NormMode, TextConfig, section};
use crate::run::finetunes;

/// Checks that a run which trains an encoder with batch norms has no batch of a single image, whose values have no
/// statistics.
///
/// # Errors
/// If a batch would hold a single image.
pub fn check_batches(config: &RunConfig, encoders: &[EncoderEntry], training_items: usize) -> Result<()> {
    let Some(image) = normed(config, encoders)? else { return Ok(()) };
    let train: TrainConfig = section(&config.train)?;
    let (size, rest) = (train.batch_size, training_items % train.batch_size);
    let single = size == 1 || training_items == 1 || (rest == 1 && !train.drop_last);
    ensure!(
        !single,
        "{training_items} training items in batches of {size} leave a batch of one image, of which the batch norms of \
         `{}` have no statistics\n\
         help: `drop_last = true` or another `batch_size` in [train], or `norm = \"frozen\"` in [image]",
        image.encoder
    );
    Ok(())
}

/// Checks that several devices have encoders to train, whose batch norms do not depend on the batch.
///
/// # Errors
/// If a run asks for several devices and trains no encoder, or one with batch norms of the batch.
pub fn check_devices(config: &RunConfig, encoders: &[EncoderEntry]) -> Result<()> {
    let devices = device_count(config)?;
    if devices < 2 {
        return Ok(());
    }
    ensure!(
        finetunes(config)?,
        "`devices = {devices}` in [train] divides the encoders' work, and method `{}` trains none\n\
         help: `devices = 1` for this method, or `finetune = true` in [image] or [text]",
        config.method
    );
    if let Some(image) = normed(config, encoders)? {
        bail!(
            "the batch norms of `{}` would see a part of the batch on each of {devices} devices\n\
             help: `norm = \"frozen\"` in [image], or `devices = 1` in [train]",
            image.encoder
        );
    }
    Ok(())
}

/// Checks that an encoder that is trained in another type than f32 has no batch norms of the batch: their statistics
/// would be those of a copy, and be lost.
///
/// # Errors
/// If a run trains one that has.
pub fn check_dtype(config: &RunConfig, encoders: &[EncoderEntry]) -> Result<()> {
    match normed(config, encoders)? {
        Some(image) if image.dtype != ComputeDtype::F32 => bail!(
            "the batch norms of `{}` are trained in f32 only\n\
             help: `norm = \"frozen\"` or `dtype = \"f32\"` in [image]",
            image.encoder
        ),
        _ => Ok(()),
    }
}

/// The number of devices that a run's encoders are trained on.
///
/// # Errors
/// If the configuration does not fit this program.
pub fn device_count(config: &RunConfig) -> Result<usize> {
    Ok(section::<TrainConfig>(&config.train)?.devices)
}

/// Whether an encoder of a run computes in a type that only GPUs have.
///
/// # Errors
/// If the configuration does not fit this program.
pub fn needs_gpu(config: &RunConfig) -> Result<bool> {
    let image = config.encoders.get(Modality::Image).map(section::<ImageConfig>).transpose()?;
    let text = config.encoders.get(Modality::Text).map(section::<TextConfig>).transpose()?;
    let dtypes = image.map(|image| image.dtype).into_iter().chain(text.map(|text| text.dtype));
    Ok(dtypes.into_iter().any(|dtype| dtype == ComputeDtype::Tf32))
}

/// The image encoder of a run that trains batch norms.
fn normed(config: &RunConfig, encoders: &[EncoderEntry]) -> Result<Option<ImageConfig>> {
    let Some(image) = config.encoders.get(Modality::Image) else { return Ok(None) };
    let image: ImageConfig = section(image)?;
    let named = encoders.iter().filter_map(EncoderEntry::image).find(|encoder| encoder.name == image.encoder);
    let normed = named.is_some_and(|encoder| encoder.normed);
    Ok((image.finetune && normed && image.norm == NormMode::Batch).then_some(image))
}
