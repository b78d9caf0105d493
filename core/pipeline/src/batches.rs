//! Validation of batch sizes.

use anyhow::{Result, ensure};
use hashlab_data::Modality;
use hashlab_encoders::EncoderEntry;
use hashlab_store::RunConfig;
use hashlab_train::TrainConfig;

use crate::config::{ImageConfig, NormMode, section};

/// Checks that a run which trains an encoder with batch norms has no batch of a single image, whose values have no
/// statistics.
///
/// # Errors
/// If a batch would hold a single image.
pub fn check_batches(config: &RunConfig, encoders: &[EncoderEntry], training_items: usize) -> Result<()> {
    let Some(image) = config.encoders.get(Modality::Image) else { return Ok(()) };
    let image: ImageConfig = section(image)?;
    let named = encoders.iter().filter_map(EncoderEntry::image).find(|encoder| encoder.name == image.encoder);
    let normed = named.is_some_and(|encoder| encoder.normed);
    if !image.finetune || !normed || image.norm == NormMode::Frozen {
        return Ok(());
    }
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
