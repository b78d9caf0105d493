//! Products that are split over threads.

use anyhow::Result;
use candle_core::Tensor;
use hashlab_kernels::device;
use hashlab_method::{
    AnyMethod, Batch, BatchSpec, BuildContext, ByModality, Features, HashMethod, MethodEntry, Progress, TrainSet, View,
};
use hashlab_methods::METHODS;
use hashlab_rng::stream;
use hashlab_train::{Fit, TrainConfig, TrainData, fit};

use crate::training::Notes;
use crate::{bits, context, labels, modalities};

/// Items enough, and long enough, for products to be split over threads; every view of an item is the same, in every
/// modality.
struct Many {
    features: Tensor,
    labels: Option<Tensor>,
}

impl Many {
    const ITEMS: usize = 1100;
    const DIM: usize = 64;
    const BITS: usize = 32;

    fn of(method: &MethodEntry) -> Self {
        let mut rng = stream(0, "many", &[]);
        let values: Vec<f32> = (0..Self::ITEMS * Self::DIM).map(|_| rng.normal() as f32).collect();
        let items: Vec<u32> = (0..Self::ITEMS as u32).collect();
        let features = Tensor::from_vec(values, (Self::ITEMS, Self::DIM), device::for_tests()).unwrap();
        Self { features, labels: labels(method, &items) }
    }

    /// Relaxed codes after a fit, or two steps of training.
    fn codes(&self, method: &MethodEntry) -> Tensor {
        let modalities = modalities(method);
        let features: ByModality<Tensor> =
            modalities.iter().map(|modality| (*modality, self.features.clone())).collect();
        let features = Features::from(features);
        let dims = modalities.iter().map(|modality| (*modality, Self::DIM)).collect();
        let (items, labels) = (Self::ITEMS, self.labels.clone());
        let cx = BuildContext { bits: Self::BITS, dims, items, labels: labels.clone(), ..context(method, 0) };
        let mut built = method.build(&method.schema().defaults, &cx).unwrap();
        match &mut built {
            AnyMethod::Fitted(fitted) => fitted.fit(&TrainSet { features: features.clone(), labels }).unwrap(),
            AnyMethod::Trained(trained) => self.train(trained.as_mut()),
        }
        built.as_method().encode(&features, modalities[0]).unwrap()
    }

    fn train(&self, method: &mut dyn hashlab_method::Trained) {
        let config = TrainConfig { epochs: 1, batch_size: 128, validate_every: 1, ..TrainConfig::default() };
        let (mut validate, observer) = (|_: &dyn HashMethod| Ok(0.0), &mut Notes::new(None));
        let validate = &mut validate;
        fit(Fit { method, config: &config, seed: 0, data: self, validate, observer, resume: None }).unwrap();
    }
}

impl TrainData for Many {
    fn len(&self) -> usize {
        256 // two batches
    }

    fn batch(&self, items: &[u32], spec: &BatchSpec, _: &Progress) -> Result<Batch> {
        let rows = Tensor::new(items, device::for_tests())?;
        let x = self.features.index_select(&rows, 0)?;
        let views = spec.views.iter().map(|view| View { modality: view.modality(), x: x.clone() }).collect();
        let labels = self.labels.as_ref().map(|labels| labels.index_select(&rows, 0)).transpose()?;
        Ok(Batch { items: items.to_vec(), views, labels })
    }
}

#[test]
fn products_split_over_threads_give_the_same_bits() {
    for method in METHODS {
        let many = Many::of(method);
        let with_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            bits(&pool.install(|| many.codes(method)))
        };
        assert_eq!(with_threads(1), with_threads(3), "{}", method.info.name);
    }
}
