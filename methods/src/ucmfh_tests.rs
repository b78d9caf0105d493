//! UCMFH's losses, sizes, groups, and replacements of an absent half.

use candle_core::Device;
use hashlab_method::View;

use super::*;

const ITEMS: usize = 12;

fn context(bits: usize, image: usize, text: usize) -> BuildContext {
    let dims = [(Modality::Image, image), (Modality::Text, text)].into_iter().collect();
    BuildContext { dims, ..BuildContext::of_images(bits, 0) }
}

/// A small network.
fn params(input: Input) -> UcmfhParams {
    UcmfhParams { input, width: 8, feedforward: 16, hidden: 24, ..UcmfhParams::default() }
}

fn features(modality: Modality, dim: usize, shift: f32) -> Tensor {
    let mut rng = hashlab_rng::stream(0, modality.name(), &[]);
    let values: Vec<f32> = (0..ITEMS * dim).map(|_| rng.normal() as f32 + shift).collect();
    Tensor::from_vec(values, (ITEMS, dim), &Device::Cpu).unwrap()
}

fn items(image: Tensor, text: Tensor) -> Features {
    [(Modality::Image, image), (Modality::Text, text)].into_iter().collect::<ByModality<Tensor>>().into()
}

fn batch(image: &Tensor, text: &Tensor) -> Batch {
    let view = |modality, x: &Tensor| View { modality, x: x.clone() };
    let views = vec![view(Modality::Image, image), view(Modality::Text, text)];
    Batch { items: (0..ITEMS as u32).collect(), views, labels: None }
}

fn at(step: usize) -> Progress {
    Progress { epoch: step, epochs: 5, step, steps: 5, seeds: vec![0] }
}

fn rows(codes: &Tensor) -> Vec<Vec<f32>> {
    codes.to_vec2().unwrap()
}

#[test]
fn losses_equal_the_worked_examples() {
    let image = Tensor::new(&[[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]], &Device::Cpu).unwrap();
    let text = Tensor::new(&[[0.8, 0.6, 0.0], [0.0, 1.0, 0.0], [0.0, 0.6, 0.8]], &Device::Cpu).unwrap();
    let value = |loss: Result<Tensor>| loss.unwrap().to_scalar::<f64>().unwrap();
    assert!((value(contrastive(&image, &text, &0.5.into())) - 1.014_354).abs() < 1e-6);
    assert!((value(balanced(&image, &text, &0.5.into())) - 2.296_900).abs() < 1e-6);
}

/// The reference code's network, counted there.
#[test]
fn the_network_has_as_many_parameters_as_the_reference_codes() {
    for (bits, expected) in [(16, 21_133_344), (32, 21_264_448), (64, 21_526_656), (128, 22_051_072)] {
        let method = Ucmfh::build(UcmfhParams::default(), &context(bits, 512, 512)).unwrap();
        let count: usize = method.vars.vars().iter().map(|(_, var)| var.elem_count()).sum();
        assert_eq!(count, expected, "{bits} bits");
        let grouped: usize = method.param_groups().iter().map(|group| group.vars.len()).sum();
        assert_eq!(grouped, method.vars.vars().len());
    }
}

#[test]
fn heads_learn_faster_than_the_fusion_and_change_their_rate_by_step() {
    let groups = Ucmfh::build(params(Input::Mean), &context(8, 6, 4)).unwrap().param_groups();
    let names = |group: &ParamGroup| group.vars.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert!(names(&groups[0]).iter().all(|name| name.starts_with("fusion.")));
    assert!(names(&groups[0]).contains(&"fusion.map.text.weight".to_owned()));
    assert_eq!(groups.iter().map(|group| group.learning_rate).collect::<Vec<_>>(), [1e-4, 1e-3, 1e-3].map(Some));
    assert!(groups.iter().all(|group| group.betas == Some([0.5, 0.999])));
    assert_eq!(groups[0].schedule, Some(Schedule::CONSTANT));
    for group in &groups[1..] {
        let schedule = group.schedule.as_ref().unwrap();
        assert_eq!(schedule.kind, ScheduleKind::MultiStep { milestones: vec![30, 80], factor: 1.2 });
        assert_eq!(schedule.unit, Unit::Step);
    }
}

#[test]
fn the_code_of_half_an_item_does_not_depend_on_the_other_half() {
    for (input, depends) in [(Input::Paired, true), (Input::Mean, false), (Input::Zeros, false)] {
        let method = Ucmfh::build(params(input), &context(8, 6, 4)).unwrap();
        let image = features(Modality::Image, 6, 0.0);
        let codes = |shift| {
            let text = features(Modality::Text, 4, shift);
            rows(&method.encode(&items(image.clone(), text), Modality::Image).unwrap())
        };
        assert_eq!(codes(0.0) != codes(3.0), depends, "{input:?}");
        let alone = method.encode(&Features::one(Modality::Image, image.clone()), Modality::Image);
        assert_eq!(alone.is_err(), depends, "{input:?}");
        let names: Vec<_> = method.other_encodings().iter().map(|spec| spec.name.unwrap()).collect();
        assert_eq!(method.encode_spec().name, Some(input.name()));
        assert_eq!(names, [if depends { "mean" } else { "paired" }]);
    }
}

#[test]
fn the_mean_is_that_of_the_last_epochs_items() {
    let mut method = Ucmfh::build(params(Input::Mean), &context(8, 6, 6)).unwrap();
    let mean = |method: &Ucmfh, name: &str| method.state().unwrap()[name].to_vec1::<f32>().unwrap();
    let text = features(Modality::Text, 6, 0.0);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    for epoch in 0..2 {
        let parts = [features(Modality::Image, 6, epoch as f32), features(Modality::Image, 6, epoch as f32 + 7.0)];
        for part in &parts {
            method.loss(&batch(part, &text), &at(epoch)).unwrap();
        }
        method.end_epoch(&EpochContext { epoch, epochs: 2, steps: 2 }).unwrap();
        let expected = Tensor::cat(&parts, 0).unwrap().mean(0).unwrap().to_vec1::<f32>().unwrap();
        assert!(near(&mean(&method, "image_mean"), &expected), "epoch {epoch}");
    }
    // With the mean itself as its text, an item is encoded as without one.
    let image = features(Modality::Image, 6, 0.0);
    let all = method.vars.state().unwrap()["text_mean"].unsqueeze(0).unwrap().broadcast_as((ITEMS, 6)).unwrap();
    let given = method.encode_otherwise("paired", &items(image.clone(), all), Modality::Image).unwrap();
    let absent = method.encode(&Features::one(Modality::Image, image), Modality::Image).unwrap();
    assert!(rows(&given).iter().zip(rows(&absent)).all(|(a, b)| near(a, &b)));
}

#[test]
fn the_scale_rises_over_the_epochs_and_a_sharper_tanh_changes_the_loss() {
    let progressive = UcmfhParams { progressive: true, scale_max: 9.0, ..params(Input::Mean) };
    let scales: Vec<f64> = (0..5).map(|epoch| progressive.scale(epoch, 5)).collect();
    assert_eq!(scales, [1.0, 3.0, 5.0, 7.0, 9.0]);
    assert_eq!(progressive.scale(0, 1), 1.0);
    assert_eq!(params(Input::Mean).scale(3, 5), 1.0);
    let (image, text) = (features(Modality::Image, 6, 0.0), features(Modality::Text, 6, 0.0));
    let terms = |params: &UcmfhParams| {
        let mut method = Ucmfh::build(params.clone(), &context(8, 6, 6)).unwrap();
        let loss = method.loss(&batch(&image, &text), &at(4)).unwrap();
        loss.terms.iter().map(|(_, term)| term.to_scalar::<f32>().unwrap()).collect::<Vec<_>>()
    };
    let (plain, sharp) = (terms(&params(Input::Mean)), terms(&progressive));
    assert_eq!(plain[0], sharp[0]);
    assert_ne!(plain[1], sharp[1]);
    let balanced = terms(&UcmfhParams { loss: ContrastiveLoss::Balanced, ..params(Input::Mean) });
    assert!(balanced[0] != plain[0] && balanced[1] != plain[1], "both terms are replaced");
}

#[test]
fn the_switches_of_the_evaluation_encode_roles_in_batches_of_128() {
    let spec = |batch_attention, drop_last| {
        let params = UcmfhParams { batch_attention, drop_last, ..params(Input::Paired) };
        let method = Ucmfh::build(params, &context(8, 6, 6)).unwrap();
        assert_eq!(EncodeSpec { name: Some("mean"), ..method.encode_spec() }, method.other_encodings()[0]);
        method.encode_spec()
    };
    let batched = EncodeSpec { name: Some("paired"), batch_size: Some(128), by_role: true, drop_last: true };
    assert_eq!(spec(true, true), batched);
    assert_eq!(spec(true, false), EncodeSpec { drop_last: false, ..batched });
    assert_eq!(spec(false, true), batched);
    assert_eq!(spec(false, false), EncodeSpec { name: Some("paired"), ..EncodeSpec::default() });
}

#[test]
fn the_maps_of_features_of_different_lengths_learn_with_the_fusion() {
    let mut method = Ucmfh::build(params(Input::Mean), &context(8, 6, 4)).unwrap();
    let pair = batch(&features(Modality::Image, 6, 0.0), &features(Modality::Text, 4, 0.0));
    let loss = method.loss(&pair, &at(0)).unwrap();
    let grads = loss.total.backward().unwrap();
    for (name, var) in method.param_groups().into_iter().flat_map(|group| group.vars) {
        let size = grads.get(&var).unwrap().abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(size > 0.0, "{name}");
    }
    let alike = Ucmfh::build(params(Input::Mean), &context(8, 6, 6)).unwrap();
    assert!(alike.vars.vars().iter().all(|(name, _)| !name.contains(".map.")), "equal lengths need no map");
}
