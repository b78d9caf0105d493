//! The trainable network.

use candle_core::Tensor;
use hashlab_encoders::{Norm, TrainableEncoder, find_image};
use hashlab_kernels::optim::{Adam, adam_steps};
use hashlab_kernels::{backward, device};
use hashlab_rng::stream;

fn convnet(seed: u64) -> Box<dyn TrainableEncoder> {
    (find_image("convnet").unwrap().train.unwrap())(None, seed, Norm::Batch, device::for_tests().into()).unwrap()
}

/// Images of two kinds: horizontal and vertical stripes, with noise.
fn stripes(n: usize) -> (Tensor, Tensor) {
    let mut draws = stream(1, "stripes", &[]);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for image in 0..n {
        labels.push((image % 2) as f32);
        for (y, x) in (0..16 * 16).map(|i| (i / 16, i % 16)) {
            let stripe = if image % 2 == 0 { y } else { x } / 2 % 2;
            pixels.extend([0; 3].map(|_| (stripe as f64 + 0.3 * draws.normal()) as f32));
        }
    }
    let pixels = Tensor::from_vec(pixels, (n, 16, 16, 3), device::for_tests()).unwrap();
    (pixels, Tensor::from_vec(labels, n, device::for_tests()).unwrap())
}

/// The training pass; the network has no dropout that would draw.
fn forward_train(net: &dyn TrainableEncoder, images: &Tensor) -> Tensor {
    net.forward_train(images, &mut |layer, _| panic!("`{layer}` draws")).unwrap()
}

#[test]
fn every_variable_gets_a_gradient() {
    let net = convnet(0);
    let grads = backward(&forward_train(net.as_ref(), &stripes(4).0).sqr().unwrap().sum_all().unwrap()).unwrap();
    let names: Vec<_> = net.vars().iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "conv3.weight", "conv3.bias"]);
    for (name, var) in net.vars() {
        let grad = grads.get(&var).unwrap_or_else(|| panic!("`{name}` has no gradient"));
        let size = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(size > 0.0, "the gradient of `{name}` is zero");
    }
}

#[test]
fn training_separates_two_kinds_of_images() {
    let net = convnet(0);
    let (images, labels) = stripes(32);
    // Half of the features speak for one kind, half for the other.
    let half = |features: &Tensor, start: usize| features.narrow(1, start, 64).unwrap().mean(1).unwrap();
    let loss = || {
        let features = forward_train(net.as_ref(), &images);
        let guess = (half(&features, 0) - half(&features, 64)).unwrap();
        (guess - &labels).unwrap().sqr().unwrap().mean_all().unwrap()
    };
    let mut moments: Vec<_> =
        net.vars().iter().map(|(_, v)| [v.zeros_like().unwrap(), v.zeros_like().unwrap()]).collect();
    let adam = Adam { lr: 3e-3, ..Adam::default() };
    for t in 1..=30 {
        let grads = backward(&loss()).unwrap();
        for ((_, var), [m, v]) in net.vars().iter().zip(&mut moments) {
            adam_steps(&mut [(var, grads.get(var).unwrap(), m, v)], t, &[adam]).unwrap();
        }
    }
    let last = loss().to_scalar::<f32>().unwrap();
    assert!(last < 0.05, "mean squared error {last} after training, 0.25 for a constant");
    let (evaluated, trained) = (net.forward(&images).unwrap(), forward_train(net.as_ref(), &images));
    assert_eq!(evaluated.to_vec2::<f32>().unwrap(), trained.to_vec2::<f32>().unwrap());
    assert!(!evaluated.track_op(), "the evaluation pass keeps a graph");
}

#[test]
fn the_seed_decides_the_parameters() {
    let weights = |seed| {
        let var = convnet(seed).vars().swap_remove(0).1;
        var.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(weights(3), weights(3));
    assert_ne!(weights(3), weights(4));
    let deviation = (weights(3).iter().map(|w| w * w).sum::<f32>() / weights(3).len() as f32).sqrt();
    assert!((deviation - (2.0f32 / 27.0).sqrt()).abs() < 0.02, "{deviation}");
}

#[test]
fn a_weights_file_is_refused_and_the_entry_is_true() {
    let entry = find_image("convnet").unwrap();
    let net = (entry.open)(None, 0, device::for_tests().into()).unwrap();
    assert_eq!((net.name(), net.dim()), (entry.name, entry.dim));
    assert_eq!(net.forward(&stripes(2).0).unwrap().dims(), [2, entry.dim]);
    let error = net.forward(&Tensor::zeros((1, 4, 4, 3), candle_core::DType::F32, device::for_tests()).unwrap());
    assert!(error.is_err(), "three poolings leave nothing of 4 pixels");
    assert!(convnet(0).buffers().is_empty());
}
