//! The section `[train]`.

use hashlab_method::{Schedule, ScheduleKind, Unit};
use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `[train]`: optimization of deep methods. Defaults are those of CIBHash's reference code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training items.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: usize,
    /// Items per step.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub batch_size: usize,
    /// Whether an incomplete last batch is left out.
    pub drop_last: bool,
    /// Update rule; moments and constants as in PyTorch.
    pub optimizer: OptimizerKind,
    /// `sgd`: factor of the previous velocity.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// `sgd`: whether the step looks ahead along the velocity.
    pub nesterov: bool,
    /// `adam`, `adamw`: decay of the means of the gradient and of its square.
    pub betas: [f64; 2],
    /// `adam`, `adamw`, `rmsprop`: added to the root of the mean square.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub eps: f64,
    /// Step size at the start, or after the warm-up.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub learning_rate: f64,
    /// L2 penalty added to the gradient (`adam`, `sgd`, `rmsprop`) or decay of the weights themselves (`adamw`).
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Largest Euclidean norm of a step's gradient over all variables; a longer one is shortened to it. Not set: no
    /// limit.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub clip_norm: Option<f64>,
    /// Curve of the learning rate: `constant`, `step` (times `schedule_factor` every `schedule_every` units),
    /// `multi_step` (times `schedule_factor` at each of `milestones`) or `cosine` (half a cosine down to
    /// `schedule_floor`).
    pub schedule: ScheduleName,
    /// Whether the schedule moves with every `epoch` or every `step`; also the unit of `schedule_every` and
    /// `milestones`.
    pub schedule_unit: Unit,
    /// `step`: units between two multiplications of the learning rate.
    #[schemars(range(min = 1))]
    pub schedule_every: usize,
    /// `step`, `multi_step`: the factor.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub schedule_factor: f64,
    /// `multi_step`: units at which the learning rate is multiplied, ascending.
    pub milestones: Vec<usize>,
    /// `cosine`: fraction of the learning rate at the end.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub schedule_floor: f64,
    /// Epochs over which the learning rate rises linearly before the schedule begins.
    pub warmup_epochs: usize,
    /// Fraction of the learning rate at the start of the warm-up.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_start: f64,
    /// Epochs between two searches with the validation queries.
    #[schemars(range(min = 1))]
    pub validate_every: usize,
    /// Devices that encoders with `finetune` run on, each with its part of a batch, while method and loss see the whole
    /// batch: the device of the run and the GPUs behind it by number. Batch norms must be frozen. Processors are no
    /// faster with several.
    #[schemars(range(min = 1, max = 64))]
    pub devices: usize,
    /// State that is evaluated: the `best` on the validation queries, or the `last`.
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

/// Learning-rate schedules by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// A constant rate.
    Constant,
    /// Times `schedule_factor` every `schedule_every` units.
    Step,
    /// Times `schedule_factor` at each of `milestones`.
    MultiStep,
    /// Half a cosine from `learning_rate` to `schedule_floor` of it.
    Cosine,
}

/// State of a trained method that is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Select {
    /// The state with the highest mAP on the validation queries, averaged over the run's tasks.
    Best,
    /// The state after the last epoch.
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
            betas: [0.9, 0.999],
            eps: 1e-8,
            learning_rate: 1e-3,
            weight_decay: 0.0,
            clip_norm: None,
            schedule: ScheduleName::Constant,
            schedule_unit: Unit::Epoch,
            schedule_every: 30,
            schedule_factor: 0.1,
            milestones: Vec::new(),
            schedule_floor: 0.0,
            warmup_epochs: 0,
            warmup_start: 0.1,
            validate_every: 20,
            devices: 1,
            select: Select::Best,
        }
    }
}

impl TrainConfig {
    /// The schedule that the keys define.
    pub fn schedule(&self) -> Schedule {
        let kind = match self.schedule {
            ScheduleName::Constant => ScheduleKind::Constant,
            ScheduleName::Step => ScheduleKind::Step { every: self.schedule_every, factor: self.schedule_factor },
            ScheduleName::MultiStep => {
                ScheduleKind::MultiStep { milestones: self.milestones.clone(), factor: self.schedule_factor }
            }
            ScheduleName::Cosine => ScheduleKind::Cosine { floor: self.schedule_floor },
        };
        let (unit, warmup_epochs, warmup_start) = (self.schedule_unit, self.warmup_epochs, self.warmup_start);
        Schedule { kind, unit, warmup_epochs, warmup_start }
    }
}

impl Params for TrainConfig {
    fn check(&self) -> Violations {
        let looks_ahead = self.optimizer == OptimizerKind::Sgd && self.nesterov;
        let ascending = self.milestones.windows(2).all(|pair| pair[0] < pair[1]);
        let stepped = self.schedule == ScheduleName::MultiStep;
        Violations::none()
            .require(
                self.betas.iter().all(|b| (0.0..1.0).contains(b)),
                ["betas"],
                "`betas` must be at least 0 and below 1",
            )
            .require(
                !looks_ahead || self.momentum > 0.0,
                ["nesterov", "momentum"],
                "`nesterov` needs a `momentum` above 0",
            )
            .require(ascending, ["milestones"], "`milestones` must be ascending")
            .require(
                !stepped || !self.milestones.is_empty(),
                ["schedule", "milestones"],
                "`schedule = \"multi_step\"` needs `milestones`",
            )
            .require(
                self.warmup_epochs < self.epochs,
                ["warmup_epochs", "epochs"],
                "`warmup_epochs` must be less than `epochs`",
            )
    }

    fn inactive(&self) -> Vec<&'static str> {
        let mut inactive = match self.optimizer {
            OptimizerKind::Sgd => vec!["betas", "eps"],
            OptimizerKind::RmsProp => vec!["momentum", "nesterov", "betas"],
            OptimizerKind::Adam | OptimizerKind::AdamW => vec!["momentum", "nesterov"],
        };
        inactive.extend(match self.schedule {
            ScheduleName::Constant => vec!["schedule_every", "schedule_factor", "milestones", "schedule_floor"],
            ScheduleName::Step => vec!["milestones", "schedule_floor"],
            ScheduleName::MultiStep => vec!["schedule_every", "schedule_floor"],
            ScheduleName::Cosine => vec!["schedule_every", "schedule_factor", "milestones"],
        });
        if self.warmup_epochs == 0 {
            inactive.push("warmup_start");
            if self.schedule == ScheduleName::Constant {
                inactive.push("schedule_unit");
            }
        }
        if self.select == Select::Last {
            inactive.push("validate_every");
        }
        inactive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_looks_ahead_needs_momentum_under_sgd_only() {
        let check = |optimizer, nesterov| {
            TrainConfig { optimizer, nesterov, momentum: 0.0, ..TrainConfig::default() }.check().is_empty()
        };
        assert!(!check(OptimizerKind::Sgd, true));
        assert!(check(OptimizerKind::Sgd, false));
        assert!(check(OptimizerKind::Adam, true));
    }

    #[test]
    fn defaults_are_in_order_and_a_key_is_active_where_it_acts() {
        assert!(TrainConfig::default().check().is_empty());
        let cosine = TrainConfig { schedule: ScheduleName::Cosine, ..TrainConfig::default() };
        assert!(!cosine.inactive().contains(&"schedule_floor"));
        assert!(TrainConfig::default().inactive().contains(&"schedule_floor"));
    }
}
