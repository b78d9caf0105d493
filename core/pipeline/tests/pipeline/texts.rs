//! Runs on texts under an encoder, alone and beside images.

use std::collections::BTreeSet;

use anyhow::Result;
use candle_core::Device;
use hashlab_cache::{FeatureCache, FeatureKey};
use hashlab_data::{ByModality, Modality};
use hashlab_encoders::{Encoder as _, Pooling, Tokenizer, token_tensor};
use hashlab_kernels::device;
use hashlab_method::{MethodEntry, ViewSpec};
use hashlab_pipeline::run::{RunEnd, check_finetuning};
use hashlab_pipeline::{EncoderContext, FeatureRows, RunEnvironment};
use hashlab_settings::Settings;
use hashlab_store::{RunConfig, RunResult, Status};
use serde_json::{Value, json};

use crate::finetune::{Stopper, bits, read};
use crate::letters::{CAPTIONS, Captioned, Letters, caption, encoders};
use crate::paired::Heads;
use crate::squares::ITEMS;
use crate::{Notes, changed, execute_on, result, table};

const SEPARATE: MethodEntry = MethodEntry::trained::<Heads<false>>();
const FUSED: MethodEntry = MethodEntry::trained::<Heads<true>>();

/// A run with these sections `[image]` and `[text]`.
fn config(method: &MethodEntry, image: Value, text: Value) -> RunConfig {
    let plain = crate::config(method, 0);
    let image = changed(table(json!({ "image_size": 8, "views": 2 })), image);
    let text = changed(table(json!({ "encoder": "letters" })), text);
    let train = changed(plain.train.clone(), json!({ "learning_rate": 0.05 }));
    let encoders = [(Modality::Image, image), (Modality::Text, text)].into_iter().collect();
    RunConfig { dataset: "captioned".into(), params: Settings::new(), encoders, train, ..plain }
}

fn execute(method: &MethodEntry, image: Value, text: Value) -> RunResult {
    let config = config(method, image, text);
    result(execute_on(&Captioned::new(), (&config, method), &mut Notes::default(), None).unwrap())
}

/// Calls `work` with the environment of a run on texts alone, under these keys of `[text]`, and the names of the files
/// that are in the cache then.
fn with_texts<T>(
    dataset: &Captioned,
    keys: Value,
    work: impl FnOnce(&RunEnvironment<'_>) -> Result<T>,
) -> Result<(T, Vec<FeatureKey>)> {
    let folder = tempfile::tempdir()?;
    let cache = FeatureCache::open(folder.path(), None)?;
    let text = changed(table(json!({ "encoder": "letters" })), keys);
    let config = RunConfig { encoders: ByModality::one(Modality::Text, text), ..crate::config(&SEPARATE, 0) };
    let cx = EncoderContext { cache: &cache, encoders: encoders(), files: &|_| None };
    let environment = RunEnvironment::new(&config, dataset, cx, device::for_tests())?;
    let worked = work(&environment)?;
    Ok((worked, cache.list()?.into_iter().map(|file| file.key.unwrap()).collect()))
}

/// Features of a caption of some items, without any cache.
fn directly(items: &[u32], number: usize) -> Vec<Vec<f32>> {
    let tokenizer = Tokenizer::of_bytes(32);
    let ids = |item: &u32| tokenizer.encode(&caption(*item as usize, number)).unwrap().ids;
    let texts = token_tensor(&items.iter().map(ids).collect::<Vec<_>>(), 32).unwrap();
    Letters::new(Pooling::Mean, (&Device::Cpu).into()).unwrap().forward(&texts).unwrap().to_vec2().unwrap()
}

fn rows(rows: &FeatureRows<'_>) -> Vec<Vec<f32>> {
    let all: Vec<u32> = (0..rows.rows() as u32).collect();
    rows.gather(&all, &Device::Cpu).unwrap().to_vec2().unwrap()
}

#[track_caller]
fn assert_near(found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-5, "{found} against {expected}");
    }
}

/// The first caption represents an item; training draws from all.
#[test]
fn captions_are_views_and_the_first_is_the_item() {
    let train: Vec<u32> = (10..40).collect();
    let ((plain, pool), files) = with_texts(&Captioned::new(), json!({}), |environment| {
        let texts = environment.encoders.get(Modality::Text).unwrap();
        let plain = texts.plain(ITEMS, &mut |_, _| Ok(()))?;
        let pool = texts.views(Modality::Text, &train, &ViewSpec::Text, &mut |_, _| Ok(()))?;
        let views: Vec<_> = pool.views.iter().map(rows).collect();
        Ok((rows(&plain), (views, pool.random)))
    })
    .unwrap();
    let all: Vec<u32> = (0..ITEMS as u32).collect();
    assert_near(&plain, &directly(&all, 0));
    let (views, random) = pool;
    assert!(random && views.len() == CAPTIONS);
    for (number, view) in views.iter().enumerate() {
        assert_near(view, &directly(&train, number));
    }
    // The training items' first captions are rows of the features of all.
    assert_eq!(files.len(), CAPTIONS);
    assert_eq!(files.iter().map(|key| key.view).collect::<BTreeSet<_>>(), (0..CAPTIONS as u32).collect());
}

#[test]
fn the_cache_names_all_that_features_of_texts_depend_on() {
    let key = |keys: Value| {
        let (_, files) = with_texts(&Captioned::new(), keys, |environment| {
            environment.encoders.get(Modality::Text).unwrap().plain(ITEMS, &mut |_, _| Ok(())).map(drop)
        })
        .unwrap();
        let [key] = &files[..] else { panic!("one file") };
        serde_json::to_string(key).unwrap()
    };
    let plain = key(json!({}));
    for same in [json!({ "pooling": "mean" }), json!({ "max_tokens": 32 }), json!({ "lr_scale": 0.5 })] {
        assert_eq!(key(same.clone()), plain, "{same}");
    }
    let others = [
        json!({ "pooling": "first" }),
        json!({ "max_tokens": 31 }),
        json!({ "digest": "0a1b" }),
        json!({ "tokenizer_digest": "0a1b" }),
        json!({ "cache_dtype": "f16" }),
        json!({ "dtype": "bf16" }),
    ];
    let mut keys: BTreeSet<String> = others.iter().map(|other| key(other.clone())).collect();
    keys.insert(plain.clone());
    assert_eq!(keys.len(), others.len() + 1);
    assert!(plain.contains("letters r2") && plain.contains("at most 32") && plain.contains("mean"), "{plain}");
}

#[test]
fn a_text_without_tokens_is_an_error_that_names_its_item() {
    let mut dataset = Captioned::new();
    dataset.silent = Some(17);
    let extract = |environment: &RunEnvironment<'_>| {
        environment.encoders.get(Modality::Text).unwrap().plain(ITEMS, &mut |_, _| Ok(())).map(drop)
    };
    let error = with_texts(&dataset, json!({}), extract).err().unwrap();
    assert!(format!("{error:#}").contains("caption 0 of item 17 is empty"), "{error:#}");
}

#[test]
fn images_are_searched_with_texts_and_texts_with_images() {
    for method in [SEPARATE, FUSED] {
        let result = execute(&method, json!({}), json!({}));
        assert_eq!((result.status, result.epochs_done), (Status::Finished, Some(6)));
        assert_eq!(result.test.keys().map(|task| task.key()).collect::<Vec<_>>(), ["i2t", "t2i"]);
    }
}

/// Both encoders are trained, and a stop changes nothing.
#[test]
fn encoders_of_both_modalities_are_trained_together() {
    for (method, dtype) in [(SEPARATE, "f32"), (FUSED, "f32"), (FUSED, "bf16")] {
        let tuned = || json!({ "finetune": true, "dtype": dtype });
        let config = config(&method, tuned(), tuned());
        let (dataset, run) = (Captioned::new(), (&config, &method));
        let mut whole = Stopper::after(usize::MAX);
        let expected = result(execute_on(&dataset, run, &mut whole, None).unwrap());
        assert_eq!(expected.test.keys().map(|task| task.key()).collect::<Vec<_>>(), ["i2t", "t2i"]);
        let expected_state = bits(&read(&whole.checkpoint.unwrap()));
        for after in [1, 7] {
            let mut first = Stopper::after(after);
            let end = execute_on(&dataset, run, &mut first, None).unwrap();
            assert!(matches!(end, RunEnd::Interrupted));
            let before = bits(&read(first.checkpoint.as_ref().unwrap()));
            for name in ["backbone.conv1.weight", "text_encoder.table"] {
                assert_ne!(before[name], expected_state[name], "`{name}` is trained");
            }
            let mut last = Stopper::after(usize::MAX);
            let end = execute_on(&dataset, run, &mut last, first.checkpoint.as_deref()).unwrap();
            assert_eq!(result(end).test, expected.test);
            assert_eq!(bits(&read(&last.checkpoint.unwrap())), expected_state);
        }
    }
}

#[test]
fn a_run_trains_all_of_its_encoders_or_none() {
    for (image, text, frozen) in [(true, false, "texts"), (false, true, "images")] {
        let [image, text] = [image, text].map(|on| json!({ "finetune": on }));
        let config = config(&SEPARATE, image, text);
        let message = format!("{:#}", check_finetuning(&config).unwrap_err());
        assert!(message.contains(&format!("the encoder of {frozen} is frozen")), "{message}");
        let end = execute_on(&Captioned::new(), (&config, &SEPARATE), &mut Notes::default(), None);
        assert_eq!(format!("{:#}", end.err().unwrap()), message);
    }
}
