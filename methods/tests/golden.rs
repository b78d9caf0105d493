//! Losses, fits and networks against values of an independent implementation; see golden/README.md.
//!
//! Losses and fits in f64, networks in f32, on the device that HASHLAB_TEST_DEVICE names; the tolerances are the same
//! on each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Tensor, Var};
use faer::Mat;
use hashlab_kernels::device;
use hashlab_method::nn::{Parameters, soft_sort};
use hashlab_method::{
    Batch, BuildContext, ByModality, Definition, Features, HashMethod, Modality, Progress, State, Trained, View,
};
use hashlab_methods::bert_resnet::{self, HashLayer, HashLayerKind};
use hashlab_methods::cibhash::{CibHashParams, objective};
use hashlab_methods::hash_coder::{self, CoderParams};
use hashlab_methods::hashnet::{HashNetParams, Weighting, pairwise_loss};
use hashlab_methods::itq::rotate;
use hashlab_methods::nsh::{self, NshParams};
use hashlab_methods::pca_rr::rotated_components;
use hashlab_methods::ucmfh::{self, Ucmfh};
use hashlab_methods::ucmfh_params::{Input, UcmfhParams};

type Case = BTreeMap<String, Tensor>;

/// Reads all cases called `NAME_I.safetensors`; there must be some.
fn cases(name: &str) -> Vec<Case> {
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden");
    let folder = std::env::var_os("HASHLAB_GOLDEN").map_or_else(|| PathBuf::from(built_in), PathBuf::from);
    let is_case = |path: &PathBuf| {
        let file = path.file_name().unwrap().to_str().unwrap();
        let number = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('_')?.strip_suffix(".safetensors"));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(is_case).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no case `{name}_*` in {}", folder.display());
    let read = |path| candle_core::safetensors::load(path, device::for_tests()).unwrap().into_iter().collect();
    paths.iter().map(read).collect()
}

fn scalar(case: &Case, name: &str) -> f64 {
    case[name].to_scalar::<f64>().unwrap_or_else(|_| case[name].to_scalar::<i64>().unwrap() as f64)
}

fn matrix(t: &Tensor) -> Mat<f64> {
    let rows = t.to_vec2::<f64>().unwrap();
    Mat::from_fn(rows.len(), rows[0].len(), |i, j| rows[i][j])
}

/// ±1 by sign, +1 at 0.
fn signs(x: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(x.nrows(), x.ncols(), |i, j| if x[(i, j)] >= 0.0 { 1.0 } else { -1.0 })
}

/// Agreement relative to the larger of 1 and the expected value.
fn close(what: &str, got: f64, expected: f64, tolerance: f64) {
    let error = (got - expected).abs() / expected.abs().max(1.0);
    assert!(error <= tolerance, "{what}: got {got}, expected {expected}");
}

fn close_tensors(what: &str, got: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    let flat = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    for (got, expected) in flat(got).into_iter().zip(flat(expected)) {
        close(what, got, expected, tolerance);
    }
}

#[test]
fn cibhash() {
    for case in cases("cibhash") {
        let params =
            CibHashParams { tau: scalar(&case, "tau"), beta: scalar(&case, "beta"), ..CibHashParams::default() };
        let views: Vec<Var> =
            ["logits_1", "logits_2"].iter().map(|name| Var::from_tensor(&case[*name]).unwrap()).collect();
        let logits = Tensor::cat(&[views[0].as_tensor(), views[1].as_tensor()], 0).unwrap();
        let found = objective(&logits, None, &[params]).unwrap();
        for (what, got) in [("contrastive", &found.contrastive), ("kl", &found.kl), ("loss", &found.total)] {
            close(what, got.to_scalar().unwrap(), scalar(&case, what), 1e-10);
        }
        let grads = found.total.backward().unwrap();
        for (view, name) in views.iter().zip(["grad_logits_1", "grad_logits_2"]) {
            close_tensors(name, grads.get(view).unwrap(), &case[name], 1e-10);
        }
    }
}

#[test]
fn hashnet() {
    for case in cases("hashnet") {
        for (name, weighting, class_num) in [
            ("unweighted", Weighting::Unweighted, 1.0),
            ("balanced", Weighting::Balanced, 1.0),
            ("balanced_jaccard", Weighting::BalancedJaccard, 1.0),
            ("class_num_1", Weighting::ClassNum, 1.0),
            ("class_num_5", Weighting::ClassNum, 5.0),
        ] {
            let params = HashNetParams { weighting, class_num, ..HashNetParams::default() };
            let logits = Var::from_tensor(&case["logits"]).unwrap();
            let codes = (logits.as_tensor() * scalar(&case, "beta")).unwrap().tanh().unwrap();
            let labels = &case["labels"];
            let found =
                pairwise_loss([&codes, &codes], [labels, labels], &scalar(&case, "alpha").into(), &[params]).unwrap();
            let what = format!("loss_{name}");
            close(&what, found.to_scalar().unwrap(), scalar(&case, &what), 1e-10);
            let what = format!("grad_{name}");
            close_tensors(&what, found.backward().unwrap().get(&logits).unwrap(), &case[&what], 1e-10);
        }
    }
}

#[test]
fn softsort() {
    for case in cases("softsort") {
        let scores = Var::from_tensor(&case["scores"]).unwrap();
        let permutation = soft_sort(&scores, scalar(&case, "tau")).unwrap();
        close_tensors("permutation", &permutation, &case["permutation"], 1e-10);
        let grads = (permutation * &case["weight"]).unwrap().sum_all().unwrap().backward().unwrap();
        close_tensors("grad_scores", grads.get(&scores).unwrap(), &case["grad_scores"], 1e-10);
    }
}

#[test]
fn nsh() {
    for case in cases("nsh") {
        let params = NshParams {
            tau: scalar(&case, "tau"),
            sort_tau: Some(scalar(&case, "tau_sort")),
            positives: scalar(&case, "positives") as usize,
            double_softmax: scalar(&case, "double_softmax") != 0.0,
            binarization: nsh::Binarization::Tanh,
            quantization: 1.0,
            ..NshParams::default()
        };
        let names = ["hash_logits_1", "hash_logits_2", "latent_1", "latent_2"];
        let inputs = names.map(|name| Var::from_tensor(&case[name]).unwrap());
        let both = |first: usize| Tensor::cat(&[inputs[first].as_tensor(), inputs[first + 1].as_tensor()], 0).unwrap();
        let found = nsh::objective(&both(0), &both(2), &[params]).unwrap();
        for (what, got) in
            [("sorted_nce", &found.sorted_nce), ("quantization", &found.quantization), ("loss", &found.total)]
        {
            close(what, got.to_scalar().unwrap(), scalar(&case, what), 1e-10);
        }
        let grads = found.total.backward().unwrap();
        for (input, name) in inputs.iter().zip(names) {
            close_tensors(name, grads.get(input).unwrap(), &case[&format!("grad_{name}")], 1e-10);
        }
    }
}

#[test]
fn itq() {
    for case in cases("itq") {
        let projected = matrix(&case["projected"]);
        let iterations = scalar(&case, "iterations") as usize;
        let start = matrix(&case["rotation_0"]);
        let expected = matrix(&case["rotation"]);
        let rotation = rotate(&projected, start.clone(), iterations).unwrap();
        assert!((&rotation - &expected).norm_max() < 1e-8, "rotation");
        assert_eq!(signs(&(&projected * &rotation)), matrix(&case["codes"]), "codes");
        let losses = case["quantization_loss"].to_vec1::<f64>().unwrap();
        for (done, expected) in losses.iter().enumerate() {
            let rotated = &projected * rotate(&projected, start.clone(), done).unwrap();
            close("quantization_loss", (signs(&rotated) - rotated).squared_norm_l2(), *expected, 1e-8);
        }
    }
}

#[test]
fn ucmfh() {
    for case in cases("ucmfh") {
        let (tau, scale) = (scalar(&case, "tau"), scalar(&case, "scale"));
        for (name, loss) in [("contrastive", ucmfh::contrastive as fn(&_, &_, &_) -> _), ("balanced", ucmfh::balanced)]
        {
            let logits = ["image", "text"].map(|name| Var::from_tensor(&case[&format!("{name}_logits")]).unwrap());
            let codes = logits.each_ref().map(|logits| (logits.as_tensor() * scale).unwrap().tanh().unwrap());
            let found: Tensor = loss(&codes[0], &codes[1], &tau.into()).unwrap();
            let what = format!("loss_{name}");
            close(&what, found.to_scalar().unwrap(), scalar(&case, &what), 1e-10);
            let grads = found.backward().unwrap();
            for (logits, modality) in logits.iter().zip(["image", "text"]) {
                let what = format!("grad_{modality}_{name}");
                close_tensors(&what, grads.get(logits).unwrap(), &case[&what], 1e-10);
            }
        }
    }
}

/// Rows divided by their lengths.
fn unit(x: &Tensor) -> Tensor {
    x.broadcast_div(&x.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap()).unwrap()
}

#[test]
fn ucmfh_forward() {
    for case in cases("ucmfh_forward") {
        let f32 = |name: &str| case[name].to_dtype(DType::F32).unwrap();
        let sizes = |name: &str| case[name].dims().to_vec();
        let dims = [Modality::Image, Modality::Text].map(|modality| (modality, sizes(modality.name())[1]));
        let cx = BuildContext {
            dims: dims.into_iter().collect(),
            device: device::for_tests().clone(),
            ..BuildContext::of_images(sizes("image_head.fc2.bias")[0], 0)
        };
        let build = |input, batch_attention| {
            let params = UcmfhParams {
                input,
                batch_attention,
                tau: scalar(&case, "tau"),
                heads: scalar(&case, "heads") as usize,
                feedforward: sizes("fusion.layers.0.linear1.bias")[0],
                hidden: sizes("image_head.fc1.bias")[0],
                dropout: 0.0,
                hidden_dropout: 0.0,
                ..UcmfhParams::default()
            };
            let mut method = Ucmfh::build(params, &cx).unwrap();
            let mut state = method.state().unwrap();
            for (name, tensor) in state.iter_mut().filter(|(name, _)| name.as_str() != "counted") {
                *tensor = f32(name);
            }
            method.load_state(&state as &State).unwrap();
            method
        };
        let items: ByModality<Tensor> =
            dims.map(|(modality, _)| (modality, f32(modality.name()))).into_iter().collect();
        let items = Features::from(items);
        for (name, input, joint) in [
            ("paired", Input::Paired, false),
            ("batch", Input::Paired, true),
            ("mean", Input::Mean, false),
            ("zeros", Input::Zeros, false),
        ] {
            for (modality, _) in dims {
                let what = format!("code_{modality}_{name}");
                let Some(expected) = case.get(&what) else { continue };
                let code = unit(&build(input, joint).encode(&items, modality).unwrap().tanh().unwrap());
                close_tensors(&what, &code, expected, 1e-5);
            }
        }
        let mut method = build(Input::Paired, false);
        let views = dims.map(|(modality, _)| View { modality, x: f32(modality.name()) }).to_vec();
        let batch = Batch { items: (0..sizes("image")[0] as u32).collect(), views, labels: None };
        let loss =
            method.loss(&batch, &Progress { epoch: 0, epochs: 1, step: 0, steps: 1, seeds: vec![0] }).unwrap().total;
        close("loss", f64::from(loss.to_scalar::<f32>().unwrap()), scalar(&case, "loss"), 1e-5);
        let grads = hashlab_kernels::backward(&loss).unwrap();
        let vars: Vec<(String, Var)> = method.param_groups().into_iter().flat_map(|group| group.vars).collect();
        assert_eq!(vars.len(), case.keys().filter(|name| name.starts_with("grad.")).count());
        for (name, var) in vars {
            close_tensors(&name, grads.get(&var).unwrap(), &case[&format!("grad.{name}")], 1e-5);
        }
    }
}

#[test]
fn crovca() {
    for case in cases("crovca") {
        let params = CoderParams {
            eps: scalar(&case, "eps"),
            regularization: scalar(&case, "regularization"),
            ..CoderParams::default()
        };
        for (mode, labels) in [("unsupervised", None), ("supervised", Some(&case["labels"]))] {
            let logits = [1, 2].map(|view| Var::from_tensor(&case[&format!("logits_{view}")]).unwrap());
            let views = logits.each_ref().map(|logits| logits.as_tensor().clone());
            let found = hash_coder::objective(&views, labels, std::slice::from_ref(&params)).unwrap();
            for (what, got) in
                [("alignment", &found.alignment), ("coding_rate", &found.coding_rate), ("loss", &found.total)]
            {
                let what = format!("{what}_{mode}");
                close(&what, got.to_scalar().unwrap(), scalar(&case, &what), 1e-10);
            }
            let grads = found.total.backward().unwrap();
            for (view, logits) in (1..).zip(&logits) {
                let what = format!("grad_{view}_{mode}");
                close_tensors(&what, grads.get(logits).unwrap(), &case[&what], 1e-10);
            }
        }
    }
}

#[test]
fn pca_rr() {
    for case in cases("pca_rr") {
        let (data, rotation) = (matrix(&case["data"]), matrix(&case["rotation"]));
        let (mean, directions) = rotated_components(&data, &rotation).unwrap();
        let expected = case["mean"].to_vec1::<f64>().unwrap();
        assert!(expected.iter().enumerate().all(|(j, expected)| (mean[(0, j)] - expected).abs() < 1e-10));
        let components = &directions * rotation.transpose();
        assert!((components - matrix(&case["components"])).norm_max() < 1e-8, "components");
        let centered = Mat::from_fn(data.nrows(), data.ncols(), |i, j| data[(i, j)] - mean[(0, j)]);
        assert!((centered * directions - matrix(&case["projected"])).norm_max() < 1e-8, "projected");
    }
}

#[test]
fn bert_resnet() {
    for case in cases("bert_resnet") {
        let labels = case["labels"].to_vec1::<f64>().unwrap();
        let n = labels.len();
        let same: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(labels[i / n] == labels[i % n]))).collect();
        let positives = Tensor::from_vec(same, (n, n), device::for_tests()).unwrap();
        let tau = scalar(&case, "tau").into();
        for name in ["contrastive", "quantization", "balance"] {
            let [image, text] =
                ["image", "text"].map(|modality| Var::from_tensor(&case[&format!("{modality}_logits")]).unwrap());
            let [image_codes, text_codes] = [&image, &text].map(|logits| logits.tanh().unwrap());
            let both = |term: fn(&Tensor) -> anyhow::Result<Tensor>| {
                (term(&image_codes).unwrap() + term(&text_codes).unwrap()).unwrap()
            };
            let found = match name {
                "contrastive" => bert_resnet::contrastive(&text, &image, &positives, &tau).unwrap(),
                "quantization" => (both(bert_resnet::quantization) * 0.5).unwrap(),
                // The case adds where the method averages, as the reference code does.
                _ => both(bert_resnet::balance),
            };
            let what = format!("loss_{name}");
            close(&what, found.to_scalar().unwrap(), scalar(&case, &what), 1e-10);
            let grads = found.backward().unwrap();
            for (modality, logits) in [("image", &image), ("text", &text)] {
                let what = format!("grad_{modality}_{name}");
                close_tensors(&what, grads.get(logits).unwrap(), &case[&what], 1e-10);
            }
        }
    }
}

#[test]
fn bert_resnet_head() {
    for case in cases("bert_resnet_head") {
        let f32 = |name: &str| case[name].to_dtype(DType::F32).unwrap();
        let (features, weight, noise) = (f32("features"), f32("weight"), f32("gumbel_noise"));
        let sizes = [features.dim(1).unwrap(), weight.dim(1).unwrap()];
        let cx = BuildContext { device: device::for_tests().clone(), ..BuildContext::of_images(sizes[1], 0) };
        for (name, kind) in [
            ("tanh", HashLayerKind::Tanh),
            ("sigmoid", HashLayerKind::Sigmoid),
            ("gumbel", HashLayerKind::Gumbel),
            ("adaptive", HashLayerKind::Adaptive),
        ] {
            // The case calls the adaptive layer's parts `adaptive` and `adaptive_bn`.
            let stored = |part: &str| match name {
                "adaptive" => part.replace("h.fc1", "adaptive").replace("h.bn", "adaptive_bn"),
                _ => part.replace("h.", ""),
            };
            let mut vars = Parameters::default();
            let layer = HashLayer::new(&mut vars, "h", kind, sizes, &cx).unwrap();
            let state: State = vars
                .state()
                .unwrap()
                .into_keys()
                .map(|name| {
                    let tensor = f32(&stored(&name));
                    (name, tensor)
                })
                .collect();
            vars.load(&state).unwrap();
            if let Some(expected) = case.get(&format!("{name}_eval")) {
                let codes = layer.codes(&layer.forward(&features).unwrap(), None, &1.0.into()).unwrap();
                close_tensors(&format!("{name}_eval"), &codes, expected, 1e-5);
            }
            let logits = layer.forward_train(&features, Ok).unwrap();
            let codes = layer.codes(&logits, Some(&noise), &1.0.into()).unwrap();
            close_tensors(&format!("{name}_train"), &codes, &case[&format!("{name}_train")], 1e-5);
            if name != "adaptive" {
                for part in ["running_mean", "running_var"] {
                    let found = &vars.state().unwrap()[&format!("h.bn.{part}")];
                    close_tensors(part, found, &case[&format!("after.bn.{part}")], 1e-5);
                }
            }
            let loss = match name {
                "adaptive" => bert_resnet::quantization(&codes).unwrap(),
                _ => (&codes * &weight).unwrap().sum_all().unwrap(),
            };
            if name == "adaptive" {
                close(
                    "adaptive_penalty",
                    f64::from(loss.to_scalar::<f32>().unwrap()),
                    scalar(&case, "adaptive_penalty"),
                    1e-5,
                );
            }
            let grads = hashlab_kernels::backward(&loss).unwrap();
            let mut compared = 0;
            for (variable, var) in vars.vars() {
                let what = match name {
                    "adaptive" => variable.replace("h.fc1", "grad_adaptive_penalty"),
                    _ => variable.replace("h.", &format!("grad_{name}.")),
                };
                let Some(expected) = case.get(&what) else { continue };
                close_tensors(&what, grads.get(&var).unwrap(), expected, 2e-5);
                compared += 1;
            }
            assert_eq!(compared, if name == "adaptive" { 1 } else { 4 }, "{name}");
        }
    }
}
