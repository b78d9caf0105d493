//! Batches of several samplers and several transforms.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::Result;
use candle_core::Tensor;
use hashlab_data::{ByModality, Modality};
use hashlab_image::{ColorJitter, Filter, Step};
use hashlab_method::nn::{Linear, Parameters};
use hashlab_method::{
    Batch, BatchSpec, BuildContext, Definition, Features, HashMethod, Loss, MethodEntry, MethodInfo, ParamGroup,
    Progress, State, Supervision, Trained, Transform, View, ViewSpec,
};
use serde_json::json;

use crate::{Notes, ProbeParams, config, execute_config, info, table};

/// Inputs of each step of [`Pairs`]: its items, and the brightness of each view's features.
pub(crate) type Given = Vec<(Vec<u32>, Vec<Vec<f32>>)>;

thread_local! {
    /// Inputs of the runs of this thread.
    pub(crate) static GIVEN: RefCell<Given> = const { RefCell::new(Vec::new()) };
}

/// Asks for two samplers, and for three views: two of one random transform, one of a fixed one.
pub(crate) struct Pairs {
    vars: Parameters,
    head: Linear,
}

pub(crate) fn random(size: usize) -> Transform {
    let jitter = ColorJitter { brightness: 0.5, contrast: 0.0, saturation: 0.0, hue: 0.0 };
    Transform::new([Step::Resize { size, filter: Filter::Bilinear }, Step::ColorJitter { jitter, p: 1.0 }])
}

impl Definition for Pairs {
    const INFO: MethodInfo = info("pairs", Supervision::Unsupervised, true);
    const SOURCE: &'static str = "";
    type Params = ProbeParams;
    fn build(_: ProbeParams, cx: &BuildContext) -> Result<Self> {
        let mut vars = Parameters::default();
        let head = Linear::new(&mut vars, "head", (cx.dim()?, cx.bits), cx)?;
        Ok(Self { vars, head })
    }
}

impl HashMethod for Pairs {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        Ok(self.head.forward(items.get(modality)?)?)
    }
    fn state(&self) -> Result<State> {
        self.vars.state()
    }
    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Trained for Pairs {
    fn batch_spec(&self) -> BatchSpec {
        let views = vec![ViewSpec::image(random), ViewSpec::plain(Modality::Image), ViewSpec::image(random)];
        BatchSpec { views, samplers: 2 }
    }
    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup::new(self.vars.vars())]
    }
    fn loss(&mut self, batch: &Batch, _: &Progress) -> Result<Loss> {
        let means = |view: &View| Ok(view.x.mean(1)?.to_vec1::<f32>()?);
        let views = batch.views.iter().map(means).collect::<Result<_>>()?;
        GIVEN.with_borrow_mut(|given| given.push((batch.items.clone(), views)));
        let total = self.head.forward(&batch.views[0].x)?.sqr()?.mean_all()?;
        Ok(Loss { terms: vec![("square", total.clone())], total })
    }
}

#[test]
fn a_step_draws_from_each_sampler_and_each_view_by_itself() {
    let method = MethodEntry::trained::<Pairs>();
    let mut config = config(&method, 0);
    config.encoders = ByModality::one(Modality::Image, table(json!({ "image_size": 8, "views": 4 })));
    execute_config(&config, &method, &mut Notes::default()).unwrap();
    let given = GIVEN.take();
    assert_eq!(given.len(), 6 * 3, "45 items in batches of 16");
    for epoch in given.chunks(3) {
        let sampler = |of: usize| {
            let half = |(items, _): &(Vec<u32>, _)| items.chunks(items.len() / 2).nth(of).unwrap().to_vec();
            epoch.iter().flat_map(half).collect::<Vec<u32>>()
        };
        let (first, second) = (sampler(0), sampler(1));
        let all: BTreeSet<u32> = (0..45).collect();
        assert_ne!(first, second);
        for items in [first, second] {
            assert_eq!(items.iter().copied().collect::<BTreeSet<u32>>(), all, "every item once per epoch and sampler");
        }
        for (items, views) in epoch {
            assert!(views.iter().all(|view| view.len() == items.len()));
            assert_ne!(views[0], views[2], "draws of one transform differ");
        }
    }
    // The fixed transform gives an item the same features in every epoch.
    let seen: BTreeSet<(u32, u32)> = given
        .iter()
        .flat_map(|(items, views)| items.iter().zip(&views[1]).map(|(&item, mean)| (item, mean.to_bits())))
        .collect();
    assert_eq!(seen.len(), 45);
}

#[test]
fn too_few_stored_views_are_refused_with_the_number_that_is_needed() {
    let method = MethodEntry::trained::<Pairs>();
    let error = execute_config(&config(&method, 0), &method, &mut Notes::default()).err().unwrap();
    let expected = "draws 4 views per step of every image, and 2 are stored";
    assert!(format!("{error:#}").contains(expected), "{error:#}");
}
