//! Features in the cache.

use hashlab_cache::{CacheDtype, FeatureCache};
use hashlab_data::{ByModality, Modality};
use hashlab_encoders::ENCODERS;
use hashlab_kernels::device;
use hashlab_pipeline::{EncoderContext, FeatureRows, RunEnvironment};
use hashlab_store::RunConfig;
use serde_json::{Value, json};

use crate::squares::{ITEMS, Squares};
use crate::{PROBE, changed, config, table};

/// Features without augmentation, as they are stored with these keys of `[image]`.
fn stored(cache: &FeatureCache, keys: Value) -> (CacheDtype, Vec<f32>) {
    let image = changed(table(json!({ "image_size": 8 })), keys);
    let config = RunConfig { encoders: ByModality::one(Modality::Image, image), ..config(&PROBE, 0) };
    let dataset = Squares::new();
    let setup = EncoderContext { cache, encoders: ENCODERS, files: &|_| None };
    let environment = RunEnvironment::new(&config, &dataset, setup, device::for_tests()).unwrap();
    let encoder = environment.encoders.get(Modality::Image).unwrap();
    let FeatureRows::Cached(file) = encoder.plain(ITEMS, &mut |_, _| Ok(())).unwrap() else {
        panic!("features of images are computed")
    };
    let mut values = Vec::new();
    file.read_range(0..ITEMS, &mut values).unwrap();
    (file.dtype(), values)
}

#[test]
fn features_are_stored_as_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::open(folder.path(), None).unwrap();
    let [full, half] = [(CacheDtype::F32, "f32"), (CacheDtype::F16, "f16")].map(|(dtype, name)| {
        let (found, values) = stored(&cache, json!({ "cache_dtype": name }));
        assert_eq!(found, dtype);
        values
    });
    let rounding = full.iter().zip(&half).map(|(full, half)| (full - half).abs() / full.abs().max(1e-3));
    let most = rounding.fold(0.0, f32::max);
    assert!(most > 0.0 && most <= 2f32.powi(-11), "half precision keeps 11 bits, the error is {most}");
}

/// Names of f32 files must not change: caches outlive the program.
#[test]
fn features_of_bf16_are_other_files_that_resemble_those_of_f32() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::open(folder.path(), None).unwrap();
    let [full, reduced] = ["f32", "bf16"].map(|dtype| stored(&cache, json!({ "dtype": dtype })).1);
    let mut names: Vec<String> = cache.list().unwrap().into_iter().map(|file| file.key.unwrap().encoder).collect();
    names.sort();
    assert_eq!(names, ["convnet r2", "convnet r2 bf16"]);
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let error = norm(&mut full.iter().zip(&reduced).map(|(a, b)| a - b)) / norm(&mut full.iter().copied());
    assert!(error > 1e-4 && error < 0.01, "relative error {error}");
}
