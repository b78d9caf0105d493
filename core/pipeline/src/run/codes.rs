//! Codes by a trained model.

use anyhow::{Result, ensure};
use hashlab_data::ByModality;
use hashlab_eval::Codes;
use hashlab_method::{AnyMethod, EncodeSpec, HashMethod};

use crate::feature_source::OnProgress;
use crate::inputs::{FeatureInputs, Inputs};
use crate::model::Model;
use crate::with_encoder::WithEncoder;

use super::features::plain_features;
use super::finetuning::finetunes;
use super::setup::RunSetup;

impl RunSetup<'_> {
    /// Encodes every item of the data set with the trained method, by modality; row = item. Extracts the features that the
    /// cache lacks.
    ///
    /// # Errors
    /// If the method encodes queries and database apart, or leaves items out, so that an item has no code of its own; if
    /// the model is not one of the method, or items, weights or the cache cannot be read or written.
    pub fn codes(&self, model: &Model, progress: OnProgress<'_>) -> Result<ByModality<Codes>> {
        let split = self.split()?;
        let device = &self.environment.device;
        let encode = |method: &mut dyn HashMethod, inputs: ByModality<&dyn Inputs>| {
            let EncodeSpec { by_role, drop_last, .. } = method.encode_spec();
            ensure!(
                !by_role && !drop_last,
                "`{}` encodes items together, in batches that depend on their role, so that an item has no code of its own",
                self.method.info.name
            );
            method.load_state(&model.state)?;
            Ok(self.evaluator(&split, inputs, method)?.encode(method)?.codes)
        };
        let built = match self.build(&split, device)? {
            AnyMethod::Trained(method) if finetunes(self.config)? => {
                let (networks, items) = self.live_encoders(std::slice::from_ref(device))?;
                let mut method = WithEncoder::new(method, networks, device);
                return encode(&mut method, items.map(|_, items| items.inputs()));
            }
            built => built,
        };
        let plain = plain_features(self.environment, progress)?;
        let inputs = plain.map(|_, rows| FeatureInputs { rows, device });
        let inputs = inputs.map(|_, inputs| inputs as &dyn Inputs);
        match built {
            AnyMethod::Fitted(mut method) => encode(method.as_mut(), inputs),
            AnyMethod::Trained(method) => encode(self.with_tail(method)?.as_mut(), inputs),
        }
    }
}
