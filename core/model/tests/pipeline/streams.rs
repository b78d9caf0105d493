//! What a step is fed with: several streams of items, several transforms.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::Result;
use candle_core::Tensor;
use hashlab_image::{ColorJitter, Filter, Step};
use hashlab_model::nn::{Linear, Parameters};
use hashlab_model::{
    Batch, BuildContext, Demand, Entry, Gradient, HashMethod, Info, Items, Learner, Loss, ParamGroup, Plugin, Progress,
    State, Supervision, Transform,
};

use crate::{Notes, ProbeParams, config, execute_config, info};

/// What each step of [`Pairs`] was given: its items, and the brightness of each view's features.
pub(crate) type Given = Vec<(Vec<u32>, Vec<Vec<f32>>)>;

thread_local! {
    /// What the runs of this thread were given.
    pub(crate) static GIVEN: RefCell<Given> = const { RefCell::new(Vec::new()) };
}

/// Asks for two streams, and for three views: two of one random transform, one of a fixed one.
pub(crate) struct Pairs {
    vars: Parameters,
    head: Linear,
}

fn random(size: usize) -> Transform {
    let jitter = ColorJitter { brightness: 0.5, contrast: 0.0, saturation: 0.0, hue: 0.0 };
    Transform::new([Step::Resize { size, filter: Filter::Bilinear }, Step::ColorJitter { jitter, p: 1.0 }])
}

impl Plugin for Pairs {
    const INFO: Info = info("pairs", Supervision::None, true);
    type Params = ProbeParams;
    fn build(_: ProbeParams, cx: &BuildContext) -> Result<Self> {
        let mut vars = Parameters::default();
        let head = Linear::new(&mut vars, "head", (cx.dim, cx.bits), cx)?;
        Ok(Self { vars, head })
    }
}

impl HashMethod for Pairs {
    fn learner(&mut self) -> Learner<'_> {
        Learner::Gradient(self)
    }
    fn encode(&self, items: &Items) -> Result<Tensor> {
        Ok(self.head.forward(&items.image)?)
    }
    fn state(&self) -> Result<State> {
        self.vars.state()
    }
    fn load_state(&mut self, state: &State) -> Result<()> {
        self.vars.load(state)
    }
}

impl Gradient for Pairs {
    fn demand(&self) -> Demand {
        Demand { views: &[random, Transform::resize, random], streams: 2 }
    }
    fn param_groups(&self) -> Vec<ParamGroup> {
        vec![ParamGroup { vars: self.vars.vars(), lr_scale: 1.0 }]
    }
    fn loss(&mut self, batch: &Batch, _: &Progress) -> Result<Loss> {
        let means = |view: &Tensor| Ok(view.mean(1)?.to_vec1::<f32>()?);
        let views = batch.views.iter().map(means).collect::<Result<_>>()?;
        GIVEN.with_borrow_mut(|given| given.push((batch.items.clone(), views)));
        let total = self.head.forward(&batch.views[0])?.sqr()?.mean_all()?;
        Ok(Loss { terms: vec![("square", total.clone())], total })
    }
}

#[test]
fn a_step_draws_each_stream_and_each_view_by_itself() {
    let method = Entry::of::<Pairs>();
    let mut config = config(&method, 0);
    config.backbone.insert("views".into(), 4.into());
    let mut journal = Notes::default();
    execute_config(&config, &method, &mut journal, None).unwrap();
    let given = GIVEN.take();
    assert_eq!(given.len(), 6 * 3, "45 items in batches of 16");
    for epoch in given.chunks(3) {
        let stream = |of: usize| {
            let half = |(items, _): &(Vec<u32>, _)| items.chunks(items.len() / 2).nth(of).unwrap().to_vec();
            epoch.iter().flat_map(half).collect::<Vec<u32>>()
        };
        let (first, second) = (stream(0), stream(1));
        let all: BTreeSet<u32> = (0..45).collect();
        assert_ne!(first, second);
        for items in [first, second] {
            assert_eq!(items.iter().copied().collect::<BTreeSet<u32>>(), all, "every item once per epoch and stream");
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
    let method = Entry::of::<Pairs>();
    let mut journal = Notes::default();
    let error = execute_config(&config(&method, 0), &method, &mut journal, None).err().unwrap();
    assert!(format!("{error:#}").contains("draws 4 views per step, `backbone.views` is 2"), "{error:#}");
}
