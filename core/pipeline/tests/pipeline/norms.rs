//! A method on a network with batch norms, whose running statistics are no variables of the optimizer.

use candle_core::Tensor;
use hashlab_encoders::{Norm, find_image};
use hashlab_kernels::{backward, device};
use hashlab_method::{
    AnyMethod, Batch, BuildContext, ByModality, Features, HashMethod, Modality, Progress, State, Trained, View,
};
use hashlab_pipeline::{Replicas, WithEncoder};
use hashlab_rng::stream;
use hashlab_settings::Settings;

use crate::PROBE;

const ITEMS: usize = 4;

/// The probe on a ResNet-18 that starts from draws.
fn on_resnet(seed: u64, norm: Norm) -> WithEncoder {
    let network =
        (find_image("resnet18").unwrap().train.unwrap())(None, seed, norm, device::for_tests().into()).unwrap();
    let cx = BuildContext {
        device: device::for_tests().clone(),
        seeds: vec![seed],
        ..BuildContext::of_images(8, network.dim())
    };
    let AnyMethod::Trained(method) = PROBE.build(&Settings::new(), &cx).unwrap() else { panic!("it is deep") };
    WithEncoder::new(method, ByModality::one(Modality::Image, (Replicas::one(network), 1.0)), device::for_tests())
}

fn images(view: u64) -> Tensor {
    let shape = (ITEMS, 32, 32, 3);
    let mut draws = stream(0, "images", &[view]);
    let values: Vec<f32> = (0..ITEMS * 32 * 32 * 3).map(|_| draws.normal() as f32).collect();
    Tensor::from_vec(values, shape, device::for_tests()).unwrap()
}

/// A step of gradient descent; its loss.
fn step(method: &mut WithEncoder, step: usize) -> f32 {
    let at = Progress { epoch: 0, epochs: 1, step, steps: 9, seeds: vec![0] };
    let view = |number: usize| View { modality: Modality::Image, x: images(number as u64) };
    let views = vec![view(2 * step), view(2 * step + 1)];
    let loss = method.loss(&Batch { items: (0..ITEMS as u32).collect(), views, labels: None }, &at).unwrap().total;
    let gradients = backward(&loss).unwrap();
    for (_, var) in method.param_groups().into_iter().flat_map(|group| group.vars) {
        let moved = (var.as_tensor() - (gradients.get(&var).unwrap() * 0.01).unwrap()).unwrap();
        var.set(&moved.detach()).unwrap();
    }
    loss.to_scalar().unwrap()
}

fn codes(method: &WithEncoder) -> Vec<f32> {
    let codes = method.encode(&Features::one(Modality::Image, images(99)), Modality::Image).unwrap();
    codes.flatten_all().unwrap().to_vec1().unwrap()
}

/// Whether a tensor has the same elements in both states.
fn same(one: &State, other: &State, name: &str) -> bool {
    let bits = |state: &State| {
        let values: Vec<f32> = state[name].flatten_all().unwrap().to_vec1().unwrap();
        values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    bits(one) == bits(other)
}

#[test]
fn running_statistics_are_part_of_the_state() {
    let mut method = on_resnet(0, Norm::Batch);
    let start = method.state().unwrap();
    for at in 0..2 {
        step(&mut method, at);
    }
    let state = method.state().unwrap();
    let statistics: Vec<_> = state.keys().filter(|name| name.ends_with(".running_var")).collect();
    assert_eq!(statistics.len(), 20, "a norm behind every convolution");
    assert!(statistics.iter().all(|name| !same(&start, &state, name)), "the statistics follow the batches");

    let mut fresh = on_resnet(1, Norm::Batch);
    assert_ne!(codes(&fresh), codes(&method));
    fresh.load_state(&state).unwrap();
    let loaded = fresh.state().unwrap();
    assert!(state.len() == loaded.len() && state.keys().all(|name| same(&state, &loaded, name)));
    assert_eq!(codes(&fresh), codes(&method));
    assert_eq!(step(&mut fresh, 2), step(&mut method, 2));
    let [went_on, resumed] = [method, fresh].map(|method| method.state().unwrap());
    assert!(state.keys().all(|name| same(&went_on, &resumed, name)), "the step after a restart is the same");
}

#[test]
fn frozen_norms_stay_as_they_are() {
    let mut method = on_resnet(0, Norm::Frozen);
    let before = method.state().unwrap();
    step(&mut method, 0);
    let after = method.state().unwrap();
    let (norms, others): (Vec<&String>, Vec<&String>) =
        before.keys().partition(|name| name.contains("bn") || name.contains("downsample.1"));
    assert_eq!(norms.len(), 20 * 4, "weight, bias, mean and variance of every norm: {norms:?}");
    assert!(norms.iter().all(|name| same(&before, &after, name)));
    assert!(others.iter().all(|name| !same(&before, &after, name)), "the rest learns");
}
