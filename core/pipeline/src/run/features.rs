//! Features that a run works on.

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::Device;
use hashlab_data::{ByModality, Modality, Split};
use hashlab_image::Transform;
use hashlab_method::{AnyMethod, BatchSpec, MethodEntry};
use hashlab_store::RunConfig;

use crate::environment::{EncoderSetup, RunEnvironment};
use crate::feature_source::{Described, OnProgress};
use crate::inputs::FeatureRows;
use crate::stored_views::Pool;

use super::finetuning::finetunes;
use super::setup::RunSetup;

/// The features that a run works on.
pub struct RunFeatures<'a> {
    /// Features of all items without augmentation, by modality; row = item.
    pub plain: ByModality<FeatureRows<'a>>,
    /// The stored views of the training items, one pool per modality and transform; none for shallow methods.
    pub pools: Vec<Pool<'a>>,
    /// The pool of each view of a step.
    pub(super) views: Vec<usize>,
    /// The number of samplers of a step.
    pub(super) samplers: usize,
}

/// Opens the features without augmentation, extracting what the cache lacks.
///
/// # Errors
/// If images, weights or the cache cannot be read or written.
pub fn plain_features<'a>(
    environment: &RunEnvironment<'a>,
    progress: OnProgress<'_>,
) -> Result<ByModality<FeatureRows<'a>>> {
    let items = environment.dataset.len();
    environment.encoders.try_map(|_, encoder| encoder.plain(items, &mut *progress))
}

/// Opens every feature that a run needs, extracting what the cache lacks. Features without augmentation come first, so that
/// they are there for other runs whatever becomes of this one's views.
///
/// # Errors
/// If images, weights or the cache cannot be read or written, or the method cannot be built.
pub fn features_of<'a>(
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'a>,
    progress: OnProgress<'_>,
) -> Result<RunFeatures<'a>> {
    ensure!(
        !finetunes(config)?,
        "the run trains its encoder, so that it has no features to store\nhelp: leave `finetune` out of the experiment"
    );
    let plain = plain_features(environment, &mut *progress)?;
    if !method.deep {
        return Ok(RunFeatures { plain, pools: Vec::new(), views: Vec::new(), samplers: 0 });
    }
    let setup = RunSetup { config, method, environment };
    let split = setup.split()?;
    let built = setup.build(&split, &Device::Cpu)?;
    let AnyMethod::Trained(trained) = built else { bail!("{} is registered as a deep method", method.info.name) };
    views_of(environment, &split, &trained.batch_spec(), plain, progress)
}

/// Keys and shapes of the feature files that [`features_of`] opens, all of which a run needs at once; none for a run that
/// trains its encoder.
///
/// # Errors
/// If the method cannot be built, or the data set cannot be split.
pub fn described_features(
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'_>,
) -> Result<Vec<Described>> {
    if finetunes(config)? {
        return Ok(Vec::new());
    }
    let mut all: Vec<Described> = environment.encoders.values().flat_map(EncoderSetup::described_plain).collect();
    if method.deep
        && let Some(spec) = batch_spec(config, method, environment)?
    {
        let train = RunSetup { config, method, environment }.split()?.train;
        for view in &spec.views {
            let encoder = environment.encoders.get(view.modality());
            all.extend(encoder.map_or(Ok(Vec::new()), |encoder| encoder.described_views(&train, view))?);
        }
    }
    let mut once: Vec<Described> = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    Ok(once)
}

/// The views of a training step; `None` where the method has no steps.
///
/// # Errors
/// If the method cannot be built.
pub fn batch_spec(
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'_>,
) -> Result<Option<BatchSpec>> {
    let setup = RunSetup { config, method, environment };
    match setup.build(&setup.split()?, &Device::Cpu)? {
        AnyMethod::Trained(method) => Ok(Some(method.batch_spec())),
        AnyMethod::Fitted(_) => Ok(None),
    }
}

/// Opens the stored views of a method that is built.
pub(super) fn views_of<'a>(
    environment: &RunEnvironment<'a>,
    split: &Split,
    spec: &BatchSpec,
    plain: ByModality<FeatureRows<'a>>,
    progress: OnProgress<'_>,
) -> Result<RunFeatures<'a>> {
    let mut known: Vec<(Modality, Option<Transform>)> = Vec::new();
    let (mut pools, mut views) = (Vec::new(), Vec::with_capacity(spec.views.len()));
    for view in &spec.views {
        let modality = view.modality();
        let encoder = environment.encoders.get(modality);
        let encoder = encoder.with_context(|| format!("the method views {modality} data, which the run has not"))?;
        let described = (modality, encoder.transform(view));
        let pool = known.iter().position(|other| *other == described);
        views.push(pool.unwrap_or(pools.len()));
        if pool.is_none() {
            pools.push(encoder.views(modality, &split.train, view, &mut *progress)?);
            known.push(described);
        }
    }
    Ok(RunFeatures { plain, pools, views, samplers: spec.samplers })
}
