//! The recorded steps are those of the run.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::crossmodal::{self, PAIRS};
use crate::lab::{FILE, Lab, TINY};
use crate::npy::Array;

/// Eight steps per epoch: the third epoch is recorded in part.
const STEPS: usize = 20;
const DIM: usize = 128;

/// Three epochs of CIBHash on 243 items, the first steps of which are recorded.
fn traced() -> Lab {
    let (shared, _) = TINY.split_once("[[method]]").unwrap();
    let experiment = shared.replace("epochs = 8", "epochs = 3") + "[[method]]\nname = \"cibhash\"\n";
    let lab = Lab::with(&experiment);
    let printed = lab.ok(&["trace", FILE, "--out", "trace", "--steps", &STEPS.to_string()]);
    assert!(printed.starts_with("trace: 20 steps of cibhash-b16-s0-"), "{printed}");
    lab
}

fn steps(lab: &Lab) -> Vec<(u64, BTreeMap<String, f64>)> {
    let trace: Value = serde_json::from_str(&lab.read("trace/trace.json")).unwrap();
    assert_eq!((trace["training_items"].as_u64(), trace["config"]["bits"].as_u64()), (Some(243), Some(16)));
    let step = |step: &Value| (step["epoch"].as_u64().unwrap(), terms(&step["terms"]));
    trace["steps"].as_array().unwrap().iter().map(step).collect()
}

fn terms(object: &Value) -> BTreeMap<String, f64> {
    object.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.as_f64().unwrap())).collect()
}

fn recorded(lab: &Lab, step: usize, what: &str) -> Array {
    Array::read(lab, &format!("trace/steps/{step:05}_{what}.npy"))
}

#[test]
fn losses_are_those_that_the_run_logs() {
    let lab = traced();
    let recorded_steps = steps(&lab);
    assert_eq!(recorded_steps.len(), STEPS);
    lab.ok(&["sweep", FILE, "--set", "seeds=[0]"]);
    let logged = lab.runs()[0].metrics();
    for epoch in [0, 1] {
        let mut sums = BTreeMap::new();
        let mut items = 0;
        for (step, (_, terms)) in recorded_steps.iter().enumerate().filter(|(_, (at, _))| *at == epoch) {
            let size = recorded(&lab, step, "items").u32().len();
            terms.iter().for_each(|(name, value)| *sums.entry(name.clone()).or_default() += value * size as f64);
            items += size;
        }
        let means: BTreeMap<_, _> =
            sums.into_iter().map(|(name, sum): (_, f64)| (name, Some(sum / items as f64))).collect();
        let point = logged.iter().find(|point| point.step == epoch + 1 && point.values.contains_key("loss"));
        assert_eq!(point.unwrap().values, means, "epoch {epoch}");
        assert_eq!(means.len(), 3);
    }
}

#[test]
fn batches_hold_every_item_once_per_epoch_in_two_stored_views() {
    let lab = traced();
    lab.ok(&["features", FILE, "--out", "out"]);
    let stored: Vec<Vec<f32>> =
        (0..4).map(|view| Array::read(&lab, &format!("out/view_{view:03}.npy")).f32()).collect();
    let mut epoch: Vec<u32> = Vec::new();
    for step in 0..STEPS {
        let items = recorded(&lab, step, "items").u32();
        let views = ["view_0", "view_1"].map(|view| recorded(&lab, step, view));
        assert_eq!([&views[0].shape, &views[1].shape], [&[items.len(), DIM]; 2]);
        let views = views.map(|view| view.f32());
        for (row, &item) in items.iter().enumerate() {
            let drawn = |view: &[f32]| {
                let own = |stored: &Vec<f32>| stored[item as usize * DIM..][..DIM] == view[row * DIM..][..DIM];
                stored.iter().position(own).expect("a stored view of the item")
            };
            assert_ne!(drawn(&views[0]), drawn(&views[1]));
        }
        epoch.extend(items);
        if epoch.len() == 243 {
            epoch.sort_unstable();
            assert!(epoch.drain(..).eq(0..243));
        }
    }
    assert_eq!(epoch.len(), 4 * 32, "half of the third epoch");
    assert!(!lab.path("trace/steps/00000_labels.npy").exists(), "CIBHash sees no labels");
}

#[test]
fn every_step_moves_the_state_to_where_the_next_begins() {
    let lab = traced();
    let tensor =
        |folder: &str, step: usize, name: &str| Array::read(&lab, &format!("{folder}/states/{step:05}/{name}.npy"));
    let shapes: [(&str, &[usize]); 4] = [
        ("head.0.weight", &[1024, DIM]),
        ("head.0.bias", &[1024]),
        ("head.2.weight", &[16, 1024]),
        ("head.2.bias", &[16]),
    ];
    // A shorter trace ends where the longer one's next step begins.
    lab.ok(&["trace", FILE, "--out", "short", "--steps", "11"]);
    assert!(!lab.path("short/states/00012").exists());
    for (name, shape) in shapes {
        assert_eq!(tensor("trace", 0, name).shape, shape);
        assert_eq!(tensor("trace", 11, name), tensor("short", 11, name));
        for step in 0..STEPS {
            assert_ne!(tensor("trace", step, name), tensor("trace", step + 1, name), "{name} at step {step}");
        }
        // Adam's first step is as long as the learning rate wherever there is a gradient.
        let (before, after) = (tensor("trace", 0, name).f32(), tensor("trace", 1, name).f32());
        let longest = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!((longest - 1e-3).abs() < 1e-5, "{name}: {longest}");
    }
}

/// A method of images and texts, the first steps of which are recorded; `params` are its hyperparameters.
fn traced_pairs(method: &str, params: &str) -> Lab {
    let (shared, _) = PAIRS.split_once("[[method]]").unwrap();
    let lab = crossmodal::lab(&format!("{shared}[[method]]\nname = \"{method}\"\nparams = {{ {params} }}\n"));
    lab.ok(&["trace", FILE, "--out", "trace", "--steps", "3"]);
    let trace: Value = serde_json::from_str(&lab.read("trace/trace.json")).unwrap();
    assert_eq!(trace["views"], serde_json::json!(["image", "text"]));
    for (view, shape) in [("view_0", [32, 12]), ("view_1", [32, 9])] {
        assert_eq!(recorded(&lab, 0, view).shape, shape);
    }
    lab
}

/// Shapes of a step's draws, in their order.
fn draws(lab: &Lab, step: usize) -> Vec<Array> {
    let name = |index: usize| format!("draw_{index:03}");
    let exists = |index: &usize| lab.path(&format!("trace/steps/{step:05}_{}.npy", name(*index))).exists();
    (0..).take_while(exists).map(|index| recorded(lab, step, &name(index))).collect()
}

#[test]
fn a_steps_random_draws_are_recorded_in_their_order() {
    let lab = traced_pairs("bert_resnet", r#"width = 16, hash_layer = "gumbel", dropout = 0.2"#);
    let [first, second] = [0, 1].map(|step| draws(&lab, step));
    let shapes: Vec<&[usize]> = first.iter().map(|draw| &draw.shape[..]).collect();
    // A mask of the projection, one of the hash layer, and noise for both states of 8 bits; of images, then of texts.
    let of_modality: [&[usize]; 3] = [&[32, 16], &[32, 16], &[32, 8, 2]];
    assert_eq!(shapes, of_modality.repeat(2));
    for index in [0, 1, 3, 4] {
        let mask = first[index].f32();
        assert!(mask.iter().all(|value| [0.0, 1.25].contains(value)));
        let dropped = mask.iter().filter(|value| **value == 0.0).count() as f64 / mask.len() as f64;
        assert!((dropped - 0.2).abs() < 0.08, "{dropped}");
        assert_ne!(first[index], second[index], "every step has draws of its own");
    }
    // Attention weights, both additions and the hidden layer, of two layers; then the heads' hidden layers.
    let lab = traced_pairs("ucmfh", "width = 16, feedforward = 24, hidden = 40");
    let layer: [&[usize]; 4] = [&[32, 4, 1], &[32, 32], &[32, 24], &[32, 32]];
    let heads: [&[usize]; 2] = [&[32, 40]; 2];
    let found = draws(&lab, 0);
    let shapes: Vec<&[usize]> = found.iter().map(|draw| &draw.shape[..]).collect();
    assert_eq!(shapes, [&layer[..], &layer, &heads].concat());
    assert!(draws(&traced(), 0).is_empty(), "CIBHash draws nothing");
}

#[test]
fn a_state_is_that_before_the_step_running_moments_included() {
    let lab = traced_pairs("bert_resnet", "width = 16");
    let moments = |step: usize| {
        let read = |name: &str| Array::read(&lab, &format!("trace/states/{step:05}/image.hash.bn.{name}.npy")).f32();
        (read("running_mean"), read("running_var"))
    };
    assert_eq!(moments(0), (vec![0.0; 8], vec![1.0; 8]));
    assert!(moments(1).0.iter().all(|mean| *mean != 0.0));
}

#[test]
fn mistakes_are_named() {
    let lab = Lab::with(&TINY.replace("name = \"cibhash\"", "name = \"lsh\"\nlabel = \"again\"\nbits = [32]"));
    let message = lab.refused(&["trace", FILE, "--out", "trace"]);
    assert!(message.contains("no method of the experiment is trained by steps"), "{message}");
    let lab = traced();
    let message = lab.refused(&["trace", FILE, "--out", "trace"]);
    assert!(message.contains("trace is not empty"), "{message}");
}
