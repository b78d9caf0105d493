//! What a fused code depends on, and that training pairs items.

use candle_core::{Device, Tensor};
use hashlab_method::{AnyMethod, Batch, BuildContext, ByModality, Features, MethodEntry, Modality, Progress, View};

use super::*;

const ITEMS: usize = 16;

/// Features of an item's image and text that are drawn at random, but the same for both.
fn features(modality: Modality, dim: usize) -> Tensor {
    let value =
        |at: usize| ((at / dim * 37 + at % dim * if modality == Modality::Image { 11 } else { 7 }) as f32).sin();
    Tensor::from_vec((0..ITEMS * dim).map(value).collect(), (ITEMS, dim), &Device::Cpu).unwrap()
}

fn context() -> BuildContext {
    let dims: ByModality<usize> = [(Modality::Image, 6), (Modality::Text, 4)].into_iter().collect();
    BuildContext { dims, ..BuildContext::of_images(8, 0) }
}

fn build(mixing: f64) -> PairFusion {
    PairFusion::build(PairFusionParams { mixing, ..PairFusionParams::default() }, &context()).unwrap()
}

fn encode(method: &PairFusion, text: Tensor, modality: Modality) -> Vec<Vec<f32>> {
    let items: ByModality<Tensor> =
        [(Modality::Image, features(Modality::Image, 6)), (Modality::Text, text)].into_iter().collect();
    method.encode(&Features::from(items), modality).unwrap().to_vec2().unwrap()
}

#[test]
fn an_images_code_depends_on_its_text_where_they_are_mixed() {
    let (text, other) = (features(Modality::Text, 4), features(Modality::Text, 4).neg().unwrap());
    for (mixing, depends) in [(0.5, true), (0.0, false)] {
        let method = build(mixing);
        let [code, changed] = [&text, &other].map(|text| encode(&method, text.clone(), Modality::Image));
        assert_eq!(code != changed, depends, "mixing {mixing}");
    }
    let image = Features::one(Modality::Image, features(Modality::Image, 6));
    let error = build(0.5).encode(&image, Modality::Image).unwrap_err();
    assert!(error.to_string().contains("no features of their text"), "{error}");
}

#[test]
fn the_loss_falls_and_reaches_every_variable() {
    let mut method = build(0.5);
    let view = |(modality, dim)| View { modality, x: features(modality, dim) };
    let views: Vec<View> = [(Modality::Image, 6), (Modality::Text, 4)].map(view).to_vec();
    let batch = Batch { items: (0..ITEMS as u32).collect(), views, labels: None };
    let mut losses = Vec::new();
    for step in 0..30 {
        let loss = method.loss(&batch, &Progress { epoch: 0, epochs: 1, step, steps: 30, seeds: vec![0] }).unwrap();
        losses.push(loss.total.to_scalar::<f32>().unwrap());
        let grads = loss.total.backward().unwrap();
        for (name, var) in method.param_groups().into_iter().flat_map(|group| group.vars) {
            let grad = grads.get(&var).unwrap_or_else(|| panic!("`{name}` has no gradient"));
            var.set(&(var.as_tensor() - (grad * 0.5).unwrap()).unwrap().detach()).unwrap();
        }
    }
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
}

#[test]
fn it_registers_as_a_deep_method_of_both_modalities() {
    const ENTRY: MethodEntry = MethodEntry::trained::<PairFusion>();
    assert!(ENTRY.info.needs.fused() && ENTRY.deep);
    let built = ENTRY.build(&ENTRY.schema().defaults, &context()).unwrap();
    assert!(matches!(built, AnyMethod::Trained(_)));
}
