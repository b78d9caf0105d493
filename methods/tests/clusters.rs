//! Every shallow method must separate two clusters, and keep items of one cluster together.

use candle_core::Tensor;
use hashlab_kernels::device;
use hashlab_method::{AnyMethod, BuildContext, Features, MethodEntry, Modality, TrainSet};
use hashlab_methods::METHODS;
use hashlab_rng::stream;

const DIM: usize = 20;
const BITS: usize = 16;

/// Items of alternating clusters, whose centers are 22.8 standard deviations of an item's coordinate apart.
fn features(items: usize, draw: u64) -> Tensor {
    let mut rng = stream(draw, "clusters", &[]);
    let center: Vec<f64> = (0..DIM).map(|j| if j % 2 == 0 { 3.0 } else { 2.0 }).collect();
    let side = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let values = (0..items * DIM).map(|at| (side(at / DIM) * center[at % DIM] + rng.normal()) as f32);
    Tensor::from_vec(values.collect::<Vec<_>>(), (items, DIM), device::for_tests()).unwrap()
}

/// Codes of new items after fitting 200 others.
fn codes(method: &MethodEntry) -> Vec<Vec<bool>> {
    let mut params = method.schema().defaults;
    if params.contains_key("nearest") {
        // Half of 20 anchors lie in either cluster: enough neighbors to link the two.
        params.insert("anchors".into(), 20.into());
        params.insert("nearest".into(), 14.into());
    }
    let cx = BuildContext { classes: 2, device: device::for_tests().clone(), ..BuildContext::of_images(BITS, DIM) };
    let AnyMethod::Fitted(mut built) = method.build(&params, &cx).unwrap() else { panic!("{}", method.info.name) };
    built.fit(&TrainSet::of_images(features(200, 0))).unwrap();
    let relaxed = built.encode(&Features::one(Modality::Image, features(100, 1)), Modality::Image).unwrap();
    relaxed.to_vec2::<f32>().unwrap().iter().map(|row| row.iter().map(|h| *h >= 0.0).collect()).collect()
}

#[test]
fn two_clusters_share_no_code_and_are_farther_from_each_other_than_from_themselves() {
    for method in METHODS.iter().filter(|method| !method.deep && method.info.needs.fixed().is_none()) {
        let codes = codes(method);
        let distance = |i: usize, j: usize| codes[i].iter().zip(&codes[j]).filter(|(a, b)| a != b).count();
        let (mut within, mut between) = (0, 0);
        for i in 0..codes.len() {
            for j in 0..i {
                if (i - j) % 2 == 0 {
                    within += distance(i, j);
                } else {
                    assert!(distance(i, j) > 0, "{}: items {i} and {j} share a code", method.info.name);
                    between += distance(i, j);
                }
            }
        }
        // 2450 pairs within a cluster, 2500 between.
        let (within, between) = (within as f64 / 2450.0, between as f64 / 2500.0);
        // PCAH spends one bit on the line between the clusters; no method spends less.
        assert!(between > within + 0.8, "{}: {within} bits within, {between} between", method.info.name);
    }
}
