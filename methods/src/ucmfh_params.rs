//! Hyperparameters of [UCMFH](crate::ucmfh).

use hashlab_method::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hyperparameters of UCMFH.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UcmfhParams {
    /// Contrastive loss: `original`, or `balanced`, one-way with weights by the numbers of pairs (tudouPotatoo/UCMFH).
    pub loss: ContrastiveLoss,
    /// Temperature τ of the contrastive terms. Reference code: 0.5.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub tau: f64,
    /// Weight λ of the codes' term. Reference code: 0.5.
    #[schemars(range(min = 0.0))]
    pub code_weight: f64,
    /// Whether tanh(scale·z) sharpens over the epochs, from `scale_min` to `scale_max` (tudouPotatoo/UCMFH). Reference
    /// code: no.
    pub progressive: bool,
    /// `progressive`: scale of the first epoch. tudouPotatoo/UCMFH: 1.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub scale_min: f64,
    /// `progressive`: scale of the last epoch. tudouPotatoo/UCMFH: 10 (commit e23e16a; 3 in 59bab9d).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub scale_max: f64,
    /// Replacement of an item's other modality: its training `mean`, `zeros`, or the item's own, `paired` (reference
    /// code). Selects epochs and settings; `paired` and one of the others are always reported.
    pub input: Input,
    /// Whether items attend to each other in evaluation, in batches of 128 per role. Reference code: yes; off because a
    /// code then depends on the other items of its batch.
    pub batch_attention: bool,
    /// Whether the items of an incomplete last batch of 128 are left out of the evaluation. Reference code: yes; off
    /// because all queries count.
    pub drop_last: bool,
    /// Common length of image and text features before the fusion, if theirs differ. Reference code: 512, of both.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub width: usize,
    /// Layers of the fusion transformer. Reference code: 2.
    #[schemars(range(min = 1, max = 1000))]
    pub layers: usize,
    /// Attention heads of the fusion transformer. Reference code: 4.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub heads: usize,
    /// Hidden width of the fusion transformer. Reference code: 2048, PyTorch's default.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub feedforward: usize,
    /// Dropout of the fusion transformer, a probability. Reference code: 0.1, PyTorch's default.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
    /// Width of the hidden layer of a hash head. Reference code: 4096.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub hidden: usize,
    /// Dropout of the hidden layer of a hash head, a probability. Reference code: 0.3.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub hidden_dropout: f64,
    /// Learning rate of the fusion transformer, constant, in place of `train.learning_rate`. Reference code: 1e-4.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub fusion_learning_rate: f64,
    /// Learning rate of the hash heads at the start, in place of `train.learning_rate`. Reference code: 1e-3.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub head_learning_rate: f64,
    /// Adam's β₁ and β₂ of all parts, in place of `train.betas`. Reference code: 0.5 and 0.999.
    pub betas: [f64; 2],
    /// Steps at which the learning rate of the hash heads is multiplied by `factor`, ascending. Reference code: 30 and
    /// 80 for MIRFlickr and NUS-WIDE, 200 for COCO.
    pub milestones: Vec<usize>,
    /// Factor at the milestones. Reference code: 1.2 for MIRFlickr and NUS-WIDE, 0.6 for COCO.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub factor: f64,
}

/// Contrastive losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContrastiveLoss {
    /// NT-Xent over both modalities.
    Original,
    /// From images to texts, weighted by the numbers of similar and dissimilar pairs.
    Balanced,
}

/// Replacement of an item's other modality when it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// The item's own.
    Paired,
    /// The mean of the training items.
    Mean,
    /// Zeros.
    Zeros,
}

impl Input {
    pub(crate) const ALL: [Self; 3] = [Self::Paired, Self::Mean, Self::Zeros];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Paired => "paired",
            Self::Mean => "mean",
            Self::Zeros => "zeros",
        }
    }

    /// The input that is reported beside it.
    pub(crate) fn other(self) -> Self {
        if self == Self::Paired { Self::Mean } else { Self::Paired }
    }
}

impl Default for UcmfhParams {
    fn default() -> Self {
        Self {
            loss: ContrastiveLoss::Original,
            tau: 0.5,
            code_weight: 0.5,
            progressive: false,
            scale_min: 1.0,
            scale_max: 10.0,
            input: Input::Mean,
            batch_attention: false,
            drop_last: false,
            width: 512,
            layers: 2,
            heads: 4,
            feedforward: 2048,
            dropout: 0.1,
            hidden: 4096,
            hidden_dropout: 0.3,
            fusion_learning_rate: 1e-4,
            head_learning_rate: 1e-3,
            betas: [0.5, 0.999],
            milestones: vec![30, 80],
            factor: 1.2,
        }
    }
}

impl Params for UcmfhParams {
    fn check(&self) -> Violations {
        let ascending = self.milestones.windows(2).all(|pair| pair[0] < pair[1]);
        Violations::none()
            .require(
                self.betas.iter().all(|b| (0.0..1.0).contains(b)),
                ["betas"],
                "`betas` must be at least 0 and below 1",
            )
            .require(ascending, ["milestones"], "`milestones` must be ascending")
            .require(
                !self.progressive || self.scale_min <= self.scale_max,
                ["scale_min", "scale_max"],
                "`scale_min` must not exceed `scale_max`",
            )
    }

    fn inactive(&self) -> Vec<&'static str> {
        let mut inactive = Vec::new();
        if !self.progressive {
            inactive.extend(["scale_min", "scale_max"]);
        }
        if self.milestones.is_empty() {
            inactive.push("factor");
        }
        inactive
    }
}

impl UcmfhParams {
    /// The scale of tanh in an epoch, from `scale_min` in the first to `scale_max` in the last.
    pub(crate) fn scale(&self, epoch: usize, epochs: usize) -> f64 {
        if !self.progressive {
            return 1.0;
        }
        let done = epoch as f64 / (epochs.max(2) - 1) as f64;
        self.scale_min + (self.scale_max - self.scale_min) * done
    }
}
