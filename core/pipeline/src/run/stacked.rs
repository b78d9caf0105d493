//! Runs of one shape, trained stacked.

use anyhow::{Result, bail, ensure};
use hashlab_method::{AnyMethod, HashMethod, Trained};
use hashlab_store::{RunConfig, SPLIT};
use hashlab_train::{Fit, TrainConfig, fit_stacked};

use crate::batches::{check_devices, check_dtype};
use crate::config::section;
use crate::inputs::{FeatureInputs, Inputs};
use crate::stored_views::StoredViews;

use super::features::{RunFeatures, plain_features, views_of};
use super::finetuning::{finetunes, has_tail};
use super::{RunEnd, RunJob, finish, quiet};

/// Trains, encodes and evaluates runs of one method on stored features, which differ in seed, in hyperparameters that
/// the method varies between stacked runs, and in learning rate and weight decay. Training is stacked; each run ends as
/// it does alone.
///
/// # Errors
/// If the runs cannot be prepared. What fails in the training or the evaluation of one run is its own error.
pub fn run_stacked(mut jobs: Vec<RunJob<'_>>) -> Result<Vec<Result<RunEnd>>> {
    let Some(first) = jobs.first().map(RunJob::setup) else { return Ok(Vec::new()) };
    let frozen = !finetunes(first.config)? && !has_tail(first.config)?;
    ensure!(frozen, "runs that compute layers of their encoder in every step are not stacked");
    let (environment, device) = (first.environment, &first.environment.device);
    let split = first.split()?;
    for job in &mut jobs {
        check_devices(job.config, environment.registered)?;
        check_dtype(job.config, environment.registered)?;
        job.provenance.insert(SPLIT.to_owned(), split.sizes().to_string());
    }
    let mut methods = jobs.iter().map(|job| trained(job.setup().build(&split, device)?)).collect::<Result<Vec<_>>>()?;

    let plain = plain_features(environment, &mut quiet)?;
    let spec = methods[0].batch_spec();
    let RunFeatures { plain, pools, views, samplers } = views_of(environment, &split, &spec, plain, &mut quiet)?;
    let inputs = plain.map(|_, rows| FeatureInputs { rows, device });
    let inputs = inputs.map(|_, inputs| inputs as &dyn Inputs);
    let labels = first.labels().map(|labels| (labels, &split.train[..]));
    let data = StoredViews::new(pools, views, samplers, labels, device)?;

    let configs: Vec<&RunConfig> = jobs.iter().map(|job| job.config).collect();
    let settings = configs.iter().map(|config| section(&config.train)).collect::<Result<Vec<TrainConfig>>>()?;
    let mut evaluators = Vec::with_capacity(jobs.len());
    for (job, method) in jobs.iter().zip(&methods) {
        evaluators.push(job.setup().evaluator(&split, inputs.clone(), method.as_ref())?);
    }
    let mut validations: Vec<_> =
        evaluators.iter_mut().map(|evaluator| |method: &dyn HashMethod| evaluator.validate(method)).collect();
    let mut fits = Vec::with_capacity(jobs.len());
    for (((job, method), config), validate) in jobs.iter_mut().zip(&mut methods).zip(&settings).zip(&mut validations) {
        let (seed, resume) = (job.config.seed, job.checkpoint.take());
        fits.push(Fit {
            method: method.as_mut(),
            config,
            seed,
            data: &data,
            validate,
            observer: &mut *job.observer,
            resume,
        });
    }
    let build = |runs: &[usize]| first.build_stacked(&split, &runs.iter().map(|run| configs[*run]).collect::<Vec<_>>());
    let ends = tracing::debug_span!("train").in_scope(|| fit_stacked(fits, &build));

    drop(data); // most of the memory
    let runs = jobs.iter().zip(evaluators).zip(methods).zip(ends);
    Ok(runs.map(|(((job, evaluator), method), end)| finish(job, evaluator, method.as_ref(), end?)).collect())
}

fn trained(method: AnyMethod) -> Result<Box<dyn Trained>> {
    match method {
        AnyMethod::Trained(method) => Ok(method),
        AnyMethod::Fitted(_) => bail!("a shallow method is not trained"),
    }
}
