//! Interface of hashing methods: traits, construction, batches, registration.
//!
//! A method is a type that implements [`HashMethod`] (encode, save, load), either [`Fitted`] (one call on all training
//! items) or [`Trained`] (a loss per step), and [`Definition`] (facts, hyperparameters, construction). [`MethodEntry`]
//! erases the type; a registry is a slice of entries. Epochs, optimizer, validation, checkpoints and logs belong to the
//! training loop, so that a method holds its mathematics alone.
//!
//! ```
//! use anyhow::Result;
//! use candle_core::Tensor;
//! use hashlab_method::{
//!     BuildContext, Definition, Features, Fitted, HashMethod, MethodEntry, MethodInfo, Modality, Needs, NoParams, State,
//!     Supervision, TrainSet,
//! };
//!
//! /// A bit per feature: its side of the training mean.
//! struct Thresholds {
//!     mean: Tensor,
//!     bits: usize,
//! }
//!
//! impl Definition for Thresholds {
//!     const INFO: MethodInfo = MethodInfo {
//!         name: "thresholds",
//!         title: "Thresholds",
//!         paper: "none",
//!         supervision: Supervision::Unsupervised,
//!         needs: Needs::Any,
//!         augmented: false,
//!         seeded: false,
//!         revision: 1,
//!     };
//!     const SOURCE: &'static str = "";
//!     type Params = NoParams;
//!
//!     fn build(_: NoParams, cx: &BuildContext) -> Result<Self> {
//!         let mean = Tensor::zeros((1, cx.dim()?), candle_core::DType::F32, &cx.device)?;
//!         Ok(Self { mean, bits: cx.bits })
//!     }
//! }
//!
//! impl HashMethod for Thresholds {
//!     fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
//!         Ok(items.get(modality)?.broadcast_sub(&self.mean)?.narrow(1, 0, self.bits)?)
//!     }
//!     fn state(&self) -> Result<State> {
//!         Ok(State::from([("mean".to_owned(), self.mean.clone())]))
//!     }
//!     fn load_state(&mut self, state: &State) -> Result<()> {
//!         [self.mean] = hashlab_method::nn::expect_all(state, [("mean", &self.mean.shape().clone())])?;
//!         Ok(())
//!     }
//! }
//!
//! impl Fitted for Thresholds {
//!     fn fit(&mut self, train: &TrainSet) -> Result<()> {
//!         self.mean = train.features.only()?.mean_keepdim(0)?;
//!         Ok(())
//!     }
//! }
//!
//! const ENTRY: MethodEntry = MethodEntry::fitted::<Thresholds>();
//! assert_eq!(ENTRY.info.name, "thresholds");
//! ```

mod batch;
mod context;
pub mod draws;
mod entry;
mod info;
mod method;
pub mod nn;
mod source;
mod spec;

pub use batch::{Batch, Features, Loss, TrainSet, View};
pub use context::{BuildContext, EpochContext, Progress};
pub use draws::Draws;
pub use entry::MethodEntry;
pub use hashlab_data::{ByModality, Modality, Needs, RunFacts, Task};
pub use hashlab_image::Transform;
pub use hashlab_settings::{NoParams, Params, Violations};
pub use info::{MethodInfo, Supervision};
pub use method::{
    AnyMethod, Definition, Fitted, HashMethod, ParamGroup, Schedule, ScheduleKind, Stackable, State, Trained, Unit,
};
pub use spec::{BatchSpec, EncodeSpec, ViewSpec};
