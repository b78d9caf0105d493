//! Interface of networks that are written in this crate's [layers](crate::layers).

use candle_core::{Result, Tensor, Var};

use crate::layers::Pass;
use crate::source::{Source, State};
use crate::weights::{IMAGENET, Weights, WeightsError};
use crate::{Draws, Encoder, EncoderError, Mode, Norm, Place, TrainableEncoder};

/// Layers of a network, with their pass over items.
pub(crate) trait Architecture: Send + Sync + 'static {
    /// Mean and standard deviation of each color, if no weights file gives them.
    const NORMALIZE: [[f32; 3]; 2] = IMAGENET;

    /// The length of a feature vector.
    fn dim(&self) -> usize;

    /// Maps normalized images `(n, h, w, 3)`, or texts `(n, t)`, to features `(n, dim)`.
    fn run(&self, items: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor>;
}

/// An architecture with its parameters.
struct Network<A> {
    name: &'static str,
    layers: A,
    state: State,
    normalize: [[f32; 3]; 2],
}

impl<A: Architecture> Network<A> {
    fn new(
        name: &'static str,
        source: Source<'_>,
        build: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
    ) -> std::result::Result<Self, EncoderError> {
        let layers = build(&source)?;
        let (state, normalize) = source.finish(A::NORMALIZE)?;
        Ok(Self { name, layers, state, normalize })
    }
}

/// Builds the network `name`, whose batch norms, if it has any, are constant.
pub(crate) fn build<A: Architecture>(
    name: &'static str,
    weights: Option<&Weights>,
    mode: Mode<'_>,
    layers: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    let source = match mode {
        Mode::Frozen(place) => Source::frozen(name, weights, place)?,
        Mode::Trained(_) => Source::trainable(name, weights, (0, Norm::Frozen), mode.place()),
    };
    Ok(Box::new(Network::new(name, source, layers)?))
}

/// Builds the frozen network `name` at a place.
pub(crate) fn frozen<A: Architecture>(
    name: &'static str,
    (weights, place): (Option<&Weights>, Place<'_>),
    build: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
) -> std::result::Result<Box<dyn Encoder>, EncoderError> {
    Ok(Box::new(Network::new(name, Source::frozen(name, weights, place)?, build)?))
}

/// Builds the frozen network `name`, which starts from draws, at a place.
pub(crate) fn drawn<A: Architecture>(
    name: &'static str,
    seed: u64,
    place: Place<'_>,
    build: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
) -> std::result::Result<Box<dyn Encoder>, EncoderError> {
    Ok(Box::new(Network::new(name, Source::drawn(seed, place), build)?))
}

/// Builds the frozen part `name` of a network whose weights file holds more.
pub(crate) fn tail<A: Architecture>(
    name: &'static str,
    (weights, place): (Option<&Weights>, Place<'_>),
    build: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    Ok(Box::new(Network::new(name, Source::frozen(name, weights, place)?.of_part(), build)?))
}

/// Builds the network `name` to be trained.
pub(crate) fn trainable<A: Architecture>(
    name: &'static str,
    (weights, seed, norm, place): (Option<&Weights>, u64, Norm, Place<'_>),
    build: impl FnOnce(&Source<'_>) -> std::result::Result<A, WeightsError>,
) -> std::result::Result<Box<dyn TrainableEncoder>, EncoderError> {
    Ok(Box::new(Network::new(name, Source::trainable(name, weights, (seed, norm), place), build)?))
}

impl<A: Architecture> Encoder for Network<A> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn dim(&self) -> usize {
        self.layers.dim()
    }

    fn normalize(&self) -> [[f32; 3]; 2] {
        self.normalize
    }

    fn forward(&self, items: &Tensor) -> Result<Tensor> {
        self.layers.run(items, &mut Pass::evaluation())
    }
}

impl<A: Architecture> TrainableEncoder for Network<A> {
    fn forward_train(&self, items: &Tensor, draws: Draws<'_>) -> Result<Tensor> {
        self.layers.run(items, &mut Pass::training(draws))
    }

    fn vars(&self) -> Vec<(String, Var)> {
        self.state.vars.clone()
    }

    fn buffers(&self) -> Vec<(String, Var)> {
        self.state.buffers.clone()
    }
}
