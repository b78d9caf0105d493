//! Runs that train their encoders.

use anyhow::{Result, bail};
use hashlab_data::{ByModality, Modality};
use hashlab_store::RunConfig;

use crate::config::{EncoderConfig, ImageConfig, section};

/// Whether a run trains its encoders, so that it works on items instead of stored features.
///
/// # Errors
/// If the configuration does not fit this program.
pub fn finetunes(config: &RunConfig) -> Result<bool> {
    Ok(finetuned(config)?.values().any(|on| *on))
}

/// Whether every step of a run computes the layers of an encoder behind `frozen_until`.
///
/// # Errors
/// If the configuration does not fit this program.
pub fn has_tail(config: &RunConfig) -> Result<bool> {
    match config.encoders.get(Modality::Image) {
        Some(settings) => Ok(section::<ImageConfig>(settings)?.frozen_until.is_some()),
        None => Ok(false),
    }
}

/// Refuses a run that trains the encoder of one modality and not that of another.
///
/// # Errors
/// If it does, or the configuration does not fit this program.
pub fn check_finetuning(config: &RunConfig) -> Result<()> {
    let finetuned = finetuned(config)?;
    let frozen = finetuned.iter().find(|(_, on)| !**on);
    match frozen.filter(|_| finetuned.values().any(|on| *on)) {
        None => Ok(()),
        Some((modality, _)) => bail!(
            "`finetune` must be set in [image] and in [text], or in neither: of method `{}`, the encoder of {modality}s is \
             frozen and the other one is trained",
            config.method
        ),
    }
}

/// Whether the encoder of each modality is trained.
fn finetuned(config: &RunConfig) -> Result<ByModality<bool>> {
    config.encoders.try_map(|modality, settings| Ok(EncoderConfig::read(modality, settings)?.finetune()))
}
