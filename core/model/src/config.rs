//! The sections `[backbone]`, `[train]` and `[eval]` of an experiment.

use candle_core::DType;
use hashlab_backbones::{BACKBONES, Entry};
use hashlab_bank::Precision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::method::Params;

/// The section `[backbone]`: the network between pixels and methods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackboneConfig {
    /// Network: `hashlab backbones` lists them.
    pub name: String,
    /// File with the network's weights: a path, or a name in the `weights` folder of the data directory. Empty for
    /// a network that starts from random weights.
    pub weights: String,
    /// Side of the square input in pixels.
    pub size: usize,
    /// Augmented views kept per training item. A step draws its pair from them; with twice as many views as epochs
    /// every epoch has views of its own, as on-line augmentation would draw.
    pub views: usize,
    /// How the view bank stores features: `f32`, or `f16` in half the space, which rounds them to 11 bits.
    pub precision: Precision,
    /// Type in which the frozen network computes features: `f32`, or `bf16`, which rounds weights and activations to 8
    /// bits for the sake of GPUs; a CPU is much slower with it. Heads, and layers behind a `cut`, compute in f32.
    pub compute: Compute,
    /// Layer behind which the frozen network is divided: features up to it are stored, the rest runs in every step with
    /// its dropouts, as in CIBHash's reference code with `cut = "fc6"` of VGG-16. Empty: nothing runs in a step.
    pub cut: String,
    /// Whether a run trains the network along with its method, on images that are augmented as it goes. Closed-form
    /// methods, and every run without this, work on features of the frozen network.
    pub finetune: bool,
    /// `finetune`: factor on the learning rate for the network.
    pub learning_rate_scale: f64,
    /// `finetune`: whether batch norms act by the statistics of the `batch`, or stay `frozen`; networks
    /// without any ignore it.
    pub norm: Norm,
    /// Digest of the weights; filled in when the experiment is planned.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self {
            name: "convnet".into(),
            weights: String::new(),
            size: 32,
            views: 10,
            precision: Precision::F32,
            compute: Compute::F32,
            cut: String::new(),
            finetune: false,
            learning_rate_scale: 1.0,
            norm: Norm::Batch,
            digest: String::new(),
        }
    }
}

impl Params for BackboneConfig {
    fn check(&self) -> Result<(), String> {
        let Some(network) = hashlab_backbones::find(&self.name) else {
            return Err(format!("`name` must be a backbone ({}), got `{}`", names(|_| true), self.name));
        };
        require(self.size >= 8, "`size` must be at least 8")?;
        if let Some(only) = network.only_size.filter(|only| *only != self.size) {
            return Err(format!("`size` must be {only} for `{}`, which takes no other", self.name));
        }
        require(self.views >= 1, "`views` must be at least 1")?;
        require(positive(self.learning_rate_scale), "`learning_rate_scale` must be positive")?;
        if !self.cut.is_empty() && network.cut.as_ref().is_none_or(|cut| cut.name != self.cut) {
            let known = network.cut.as_ref().map_or("it cannot be cut".into(), |cut| format!("known: `{}`", cut.name));
            return Err(format!("`cut` does not name a layer of `{}` to cut behind; {known}", self.name));
        }
        require(self.cut.is_empty() || !self.finetune, "`finetune` trains the whole network: leave `cut` out")?;
        require(
            self.compute == Compute::F32 || !self.finetune,
            "`compute` must be `f32` with `finetune`: a network is trained in f32 only",
        )?;
        if self.finetune && network.train.is_none() {
            let known = names(|network| network.train.is_some());
            return Err(format!("`finetune` does not apply to `{}`, which stays frozen; known: {known}", self.name));
        }
        Ok(())
    }

    fn idle(&self) -> Vec<&'static str> {
        let mut idle = match self.finetune {
            true => vec!["views", "precision"],
            false => vec!["finetune", "learning_rate_scale", "norm"],
        };
        let normed = hashlab_backbones::find(&self.name).is_some_and(|network| network.normed);
        if self.finetune && !normed {
            idle.push("norm");
        }
        if self.cut.is_empty() {
            idle.push("cut");
        }
        // Runs in f32 keep the names that they had before there was a choice.
        if self.compute == Compute::F32 {
            idle.push("compute");
        }
        idle
    }
}

/// Lists the backbones that `choose` takes.
fn names(choose: impl Fn(&Entry) -> bool) -> String {
    let names = BACKBONES.iter().filter(|network| choose(network)).map(|network| network.name);
    names.collect::<Vec<_>>().join(", ")
}

/// Types in which a frozen network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// Single precision.
    F32,
    /// The upper half of single precision: its range, with 8 bits of precision.
    Bf16,
}

impl Compute {
    /// The type of tensors.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// How batch norms act in a network that is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// By the statistics of the batch; the running ones follow.
    Batch,
    /// By the running statistics; weights and biases are constant.
    Frozen,
}

/// The section `[train]`: how gradient methods are optimised. Defaults are those of CIBHash's reference code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training items.
    pub epochs: usize,
    /// Items per step.
    pub batch_size: usize,
    /// Whether an incomplete last batch is left out.
    pub drop_last: bool,
    /// Update rule; moments and constants as in PyTorch.
    pub optimizer: OptimizerKind,
    /// `sgd`: factor of the previous velocity.
    pub momentum: f64,
    /// `sgd`: whether the step looks ahead along the velocity.
    pub nesterov: bool,
    /// Step size at the start.
    pub learning_rate: f64,
    /// L2 penalty added to the gradient (`adam`, `sgd`, `rmsprop`) or decay of the weights themselves (`adamw`).
    pub weight_decay: f64,
    /// How the learning rate changes over the epochs.
    pub schedule: Schedule,
    /// `step`: epochs between two multiplications of the learning rate.
    pub schedule_epochs: usize,
    /// `step`: the factor.
    pub schedule_factor: f64,
    /// Epochs between two searches with the validation queries.
    pub validate_every: usize,
    /// Which state is evaluated: the best on the validation queries, or the last.
    pub select: Select,
}

/// Update rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam, with coupled L2.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// RMSprop, smoothing 0.99, with coupled L2 and without momentum.
    RmsProp,
}

/// Learning-rate schedules, by epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// No change.
    Constant,
    /// Times `schedule_factor` every `schedule_epochs` epochs.
    Step,
    /// Half a cosine from `learning_rate` to 0.
    Cosine,
}

/// Which state of a trained method is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Select {
    /// The one with the highest mAP on the validation queries.
    Best,
    /// The one after the last epoch.
    Last,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 60,
            batch_size: 64,
            drop_last: false,
            optimizer: OptimizerKind::Adam,
            momentum: 0.9,
            nesterov: false,
            learning_rate: 1e-3,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            schedule_epochs: 30,
            schedule_factor: 0.1,
            validate_every: 20,
            select: Select::Best,
        }
    }
}

impl Params for TrainConfig {
    fn check(&self) -> Result<(), String> {
        require(self.epochs >= 1, "`epochs` must be at least 1")?;
        require(self.batch_size >= 2, "`batch_size` must be at least 2")?;
        require(positive(self.learning_rate), "`learning_rate` must be positive")?;
        require((0.0..1.0).contains(&self.momentum), "`momentum` must be at least 0 and less than 1")?;
        let looks_ahead = self.optimizer == OptimizerKind::Sgd && self.nesterov;
        require(!looks_ahead || self.momentum > 0.0, "`nesterov` needs a `momentum` above 0")?;
        require(self.weight_decay >= 0.0, "`weight_decay` must not be negative")?;
        require(self.schedule_epochs >= 1, "`schedule_epochs` must be at least 1")?;
        require(positive(self.schedule_factor), "`schedule_factor` must be positive")?;
        require(self.validate_every >= 1, "`validate_every` must be at least 1")
    }

    // The keys of schedules stay in: without them, the runs of earlier versions would lose their names.
    fn idle(&self) -> Vec<&'static str> {
        match self.optimizer {
            OptimizerKind::Sgd => Vec::new(),
            OptimizerKind::Adam | OptimizerKind::AdamW | OptimizerKind::RmsProp => vec!["momentum", "nesterov"],
        }
    }
}

/// The section `[eval]`: how retrieval is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// Depth K of the headline mAP@K; 0 for the whole ranking, -1 for the depth that papers use with the protocol.
    pub map_at: i64,
    /// Ranks at which precision and recall are recorded.
    pub grid: Vec<usize>,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { map_at: -1, grid: vec![1, 10, 100, 500, 1000] }
    }
}

impl Params for EvalConfig {
    fn check(&self) -> Result<(), String> {
        require(self.map_at >= -1, "`map_at` must be a rank, 0 (all) or -1 (the protocol's)")?;
        require(self.grid.iter().all(|&n| n >= 1), "`grid` must hold ranks from 1")
    }
}

fn positive(x: f64) -> bool {
    x.is_finite() && x > 0.0
}

fn require(condition: bool, message: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(message.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finetuned(name: &str) -> BackboneConfig {
        BackboneConfig { name: name.into(), size: 224, finetune: true, ..BackboneConfig::default() }
    }

    #[test]
    fn a_network_of_one_size_takes_no_other() {
        let vit = |size| BackboneConfig { size, ..finetuned("vit_b_16") }.check();
        assert_eq!(vit(224), Ok(()));
        assert_eq!(vit(128), Err("`size` must be 224 for `vit_b_16`, which takes no other".into()));
        assert_eq!(BackboneConfig { size: 128, ..finetuned("resnet18") }.check(), Ok(()));
    }

    #[test]
    fn only_networks_that_can_be_trained_are_known_to_finetune() {
        let error = finetuned("mobilenet_v2").check().unwrap_err();
        let (_, known) = error.split_once("known: ").unwrap();
        let known: Vec<_> = known.split(", ").collect();
        assert!(known.contains(&"resnet18") && !known.contains(&"squeezenet1_1"), "{error}");
    }

    #[test]
    fn a_network_is_trained_in_f32_only() {
        let bf16 = |finetune| BackboneConfig { compute: Compute::Bf16, finetune, ..finetuned("resnet18") };
        assert_eq!(bf16(false).check(), Ok(()));
        assert!(bf16(true).check().unwrap_err().contains("`compute` must be `f32`"));
        assert!(!bf16(false).idle().contains(&"compute"));
        assert!(BackboneConfig::default().idle().contains(&"compute"));
    }

    #[test]
    fn what_batch_norms_do_matters_where_there_are_some_and_they_are_trained() {
        let idle = |config: BackboneConfig| config.idle().contains(&"norm");
        assert!(!idle(finetuned("resnet18")));
        assert!(idle(finetuned("vgg16")));
        assert!(idle(BackboneConfig { finetune: false, ..finetuned("resnet18") }));
    }

    #[test]
    fn a_step_that_looks_ahead_needs_momentum_under_sgd_only() {
        let check = |optimizer, nesterov| {
            TrainConfig { optimizer, nesterov, momentum: 0.0, ..TrainConfig::default() }.check().is_ok()
        };
        assert!(!check(OptimizerKind::Sgd, true));
        assert!(check(OptimizerKind::Sgd, false));
        assert!(check(OptimizerKind::Adam, true));
    }
}
