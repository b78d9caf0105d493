//! Runs on images and texts.

use candle_core::Tensor;
use hashlab_data::{ByModality, Modality};
use hashlab_encoders::{Norm, find_image};
use hashlab_kernels::{backward, device};
use hashlab_method::{AnyMethod, Batch, BuildContext, Features, HashMethod, MethodEntry, Progress, Trained, View};
use hashlab_pipeline::run::RunEnd;
use hashlab_pipeline::{Replicas, WithEncoder};
use hashlab_rng::stream;
use hashlab_settings::Settings;
use hashlab_store::{RunConfig, RunResult, Status};
use serde_json::{Value, json};

use crate::finetune::{Stopper, bits, read};
use crate::paired::{Heads, Paired};
use crate::squares::ITEMS;
use crate::{Notes, PROBE, changed, execute_config, execute_on, result, table};

const SEPARATE: MethodEntry = MethodEntry::trained::<Heads<false>>();
const FUSED: MethodEntry = MethodEntry::trained::<Heads<true>>();

fn config(method: &MethodEntry) -> RunConfig {
    let plain = crate::config(method, 0);
    let none = || table(json!({ "encoder": "none" }));
    let train = changed(plain.train.clone(), json!({ "learning_rate": 0.05 }));
    let encoders = [(Modality::Image, none()), (Modality::Text, none())].into_iter().collect();
    RunConfig { dataset: "paired".into(), params: Settings::new(), encoders, train, ..plain }
}

fn execute(method: &MethodEntry, notes: &mut Notes) -> RunResult {
    result(execute_on(&Paired::new(), (&config(method), method), notes, None).unwrap())
}

#[test]
fn two_modalities_are_searched_from_each_to_the_other() {
    for method in [SEPARATE, FUSED] {
        let result = execute(&method, &mut Notes::default());
        assert_eq!((result.status, result.epochs_done), (Status::Finished, Some(6)));
        for tasks in [&result.test, &result.validation] {
            assert_eq!(tasks.keys().map(|task| task.key()).collect::<Vec<_>>(), ["i2t", "t2i"]);
        }
        assert_eq!(result.codes.modalities().collect::<Vec<_>>(), Modality::ALL);
        assert!(result.codes.values().all(|codes| codes.items == ITEMS && codes.distinct > 1), "{:?}", result.codes);
        let chance = 1.0 / 3.0;
        for (task, found) in &result.test {
            assert!(found.metrics["map_at_k"] > chance + 0.05, "{}: {task}: {found:?}", method.info.name);
        }
    }
}

#[test]
fn the_mean_over_both_tasks_selects_the_state() {
    for method in [SEPARATE, FUSED] {
        let mut notes = Notes::default();
        let result = execute(&method, &mut notes);
        let maps: Vec<f64> = result.validation.values().map(|task| task.metrics["map_at_k"]).collect();
        assert_ne!(maps[0], maps[1], "the tasks differ, or their mean says nothing");
        let best = notes.validations.iter().map(|(_, map)| *map).fold(f64::MIN, f64::max);
        let first = notes.validations.iter().find(|(_, map)| *map == best).unwrap();
        assert_eq!(
            (result.epoch, result.mean_validation("map_at_k")),
            (Some(first.0), Some((maps[0] + maps[1]) / 2.0))
        );
        assert_eq!(best, (maps[0] + maps[1]) / 2.0);
    }
}

#[test]
fn other_encodings_are_measured_once_beside_the_one_that_selects() {
    let separate = execute(&SEPARATE, &mut Notes::default());
    assert_eq!((separate.encoding, separate.other_encodings.len()), (None, 0));
    let mut notes = Notes::default();
    let result = execute(&FUSED, &mut notes);
    assert_eq!(result.encoding.as_deref(), Some("both"));
    let [(name, own)] = result.other_encodings.iter().collect::<Vec<_>>()[..] else { panic!("one other") };
    assert_eq!(name, "own");
    assert_eq!(own.test.keys().collect::<Vec<_>>(), result.test.keys().collect::<Vec<_>>());
    for (task, found) in &own.test {
        assert!(found.metrics["map_at_k"] > 1.0 / 3.0 && found != &result.test[task], "{task}: {found:?}");
    }
    assert!(own.codes.values().all(|codes| codes.items == ITEMS) && own.codes != result.codes);
    assert_ne!(own.validation, result.validation);
    let best = notes.validations.iter().map(|(_, map)| *map).fold(f64::MIN, f64::max);
    assert_eq!(result.mean_validation("map_at_k"), Some(best), "the method's own encoding selects");
}

#[test]
fn a_stopped_run_on_both_modalities_ends_as_any_other() {
    let dataset = Paired::new();
    for method in [SEPARATE, FUSED] {
        let run = (&config(&method), &method);
        let mut whole = Stopper::after(usize::MAX);
        let expected = result(execute_on(&dataset, run, &mut whole, None).unwrap());
        let expected_state = bits(&read(&whole.checkpoint.unwrap()));
        for after in [1, 4, 11] {
            let mut first = Stopper::after(after);
            let end = execute_on(&dataset, run, &mut first, None).unwrap();
            assert!(matches!(end, RunEnd::Interrupted));
            let mut last = Stopper::after(usize::MAX);
            let end = execute_on(&dataset, run, &mut last, first.checkpoint.as_deref()).unwrap();
            let found = result(end);
            assert_eq!(bits(&read(&last.checkpoint.unwrap())), expected_state, "{} after {after}", method.info.name);
            assert_eq!((&found.test, &found.validation), (&expected.test, &expected.validation));
            assert_eq!((found.epoch, &found.codes), (expected.epoch, &expected.codes));
        }
    }
}

#[test]
fn one_modality_of_two_is_searched_within() {
    let none = table(json!({ "encoder": "none" }));
    let method = MethodEntry::fitted::<crate::First>();
    for (modality, bits, task) in [(Modality::Image, 8, "i2i"), (Modality::Text, 7, "t2t")] {
        let encoders = ByModality::one(modality, none.clone());
        let config = RunConfig { bits, encoders, ..config(&method) };
        let result = result(execute_on(&Paired::new(), (&config, &method), &mut Notes::default(), None).unwrap());
        assert_eq!(result.test.keys().map(|task| task.key()).collect::<Vec<_>>(), [task]);
    }
}

#[test]
fn an_encoders_features_go_with_those_of_the_data_set_unless_it_is_trained() {
    let none = || table(json!({ "encoder": "none" }));
    let execute = |image: Value| {
        let encoders = [(Modality::Image, table(image)), (Modality::Text, none())].into_iter().collect();
        let config = RunConfig { encoders, ..config(&SEPARATE) };
        execute_on(&Paired::with_pixels(), (&config, &SEPARATE), &mut Notes::default(), None)
    };
    let result = result(execute(json!({ "image_size": 8 })).unwrap());
    assert_eq!(result.test.keys().map(|task| task.key()).collect::<Vec<_>>(), ["i2t", "t2i"]);
    let error = execute(json!({ "image_size": 8, "finetune": true })).err().unwrap();
    assert!(format!("{error:#}").contains("the encoder of texts is frozen"), "{error:#}");
}

/// As after a frozen trunk: images are the network's, texts are unchanged.
#[test]
fn texts_pass_by_the_network_that_images_go_through() {
    let network =
        (find_image("convnet").unwrap().train.unwrap())(None, 0, Norm::Batch, device::for_tests().into()).unwrap();
    let dims = [(Modality::Image, network.dim()), (Modality::Text, 7)].into_iter().collect();
    let cx = BuildContext { dims, device: device::for_tests().clone(), ..BuildContext::of_images(8, 0) };
    let build = || match SEPARATE.build(&Settings::new(), &cx).unwrap() {
        AnyMethod::Trained(method) => method,
        AnyMethod::Fitted(_) => panic!("it is deep"),
    };
    let (plain, mut method) = (
        build(),
        WithEncoder::new(build(), ByModality::one(Modality::Image, (Replicas::one(network), 1.0)), device::for_tests()),
    );

    let draw = |name: &str, shape: &[usize]| {
        let mut rng = stream(0, name, &[]);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
        Tensor::from_vec(values, shape, device::for_tests()).unwrap()
    };
    let (pixels, texts) = (draw("pixels", &[6, 8, 8, 3]), draw("texts", &[6, 7]));
    let codes = |method: &dyn HashMethod, modality, x: &Tensor| {
        let codes = method.encode(&Features::one(modality, x.clone()), modality).unwrap();
        codes.to_vec2::<f32>().unwrap()
    };
    assert_eq!(codes(&method, Modality::Text, &texts), codes(plain.as_ref(), Modality::Text, &texts));
    assert_eq!(codes(&method, Modality::Image, &pixels).len(), 6);

    let view = |modality, x: &Tensor| View { modality, x: x.clone() };
    let views = vec![view(Modality::Image, &pixels), view(Modality::Text, &texts), view(Modality::Image, &pixels)];
    let batch = Batch { items: (0..6).collect(), views, labels: None };
    let loss = method.loss(&batch, &Progress { epoch: 0, epochs: 1, step: 0, steps: 1, seeds: vec![0] }).unwrap();
    let gradients = backward(&loss.total).unwrap();
    for (name, var) in method.param_groups().into_iter().flat_map(|group| group.vars) {
        assert!(gradients.get(&var).is_some(), "`{name}` has no gradient");
    }
}

#[test]
fn encoders_that_do_not_fit_the_data_are_refused() {
    let refused = |encoders| {
        let config = RunConfig { encoders, ..crate::config(&PROBE, 0) };
        format!("{:#}", execute_config(&config, &PROBE, &mut Notes::default()).err().unwrap())
    };
    let none = table(json!({ "encoder": "none" }));
    let error = refused(ByModality::one(Modality::Text, none.clone()));
    assert!(error.contains("data set `squares` has no text data"), "{error}");
    let error = refused(ByModality::one(Modality::Image, none));
    assert!(error.contains("needs a data set of features"), "{error}");
    let error = refused(ByModality::one(Modality::Image, table(json!({ "encoder": "resnet19" }))));
    assert!(error.contains("unknown image encoder `resnet19`"), "{error}");
}

#[test]
fn features_that_are_no_numbers_are_refused_by_item() {
    let mut dataset = Paired::new();
    dataset.images.broken = Some(17);
    let run = (&config(&SEPARATE), &SEPARATE);
    let error = execute_on(&dataset, run, &mut Notes::default(), None).err().unwrap();
    assert!(format!("{error:#}").contains("feature 3 of item 17 is not a finite number"), "{error:#}");
}
