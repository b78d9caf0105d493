//! The cache's guarantees in both types.

use proptest::prelude::*;

use super::*;

/// A random feature file.
#[derive(Clone, Debug)]
struct Sample {
    dtype: CacheDtype,
    shape: Shape,
    /// Extracted features, row-major.
    values: Vec<f32>,
}

impl Sample {
    fn key(&self) -> FeatureKey {
        FeatureKey { dtype: self.dtype, ..key(0) }
    }

    fn of(&self, rows: Range<usize>) -> Vec<f32> {
        self.values[rows.start * self.shape.dim..rows.end * self.shape.dim].to_vec()
    }

    /// Ensures the feature file and returns the chunks that were extracted for it.
    fn ensure(&self, cache: &FeatureCache) -> (FeatureFile, Vec<usize>) {
        let mut chunks = Vec::new();
        let extract = |rows: Range<usize>| {
            chunks.push(rows.start / self.shape.chunk_rows);
            Ok::<_, CacheError>(self.of(rows))
        };
        let feature_file = cache.ensure(&self.key(), self.shape, extract, |_| Ok(())).unwrap();
        (feature_file, chunks)
    }

    /// Features in the file: the values, rounded to its precision.
    fn stored(&self) -> Vec<f32> {
        match self.dtype {
            CacheDtype::F32 => self.values.clone(),
            CacheDtype::F16 => self.values.iter().map(|&value| nearest_half(value)).collect(),
        }
    }

    fn bytes(&self) -> u64 {
        (self.values.len() * self.dtype.bytes()) as u64
    }
}

/// Rounds by the standard's definition, in exact arithmetic: to a multiple of the value's last binary place.
fn nearest_half(value: f32) -> f32 {
    let exponent = f64::from(value).abs().log2().floor().max(-14.0);
    let place = (exponent - 10.0).exp2();
    ((f64::from(value) / place).round_ties_even() * place) as f32
}

/// Finite values of every size that half precision holds, ties and numbers too small for it among them.
fn values(count: usize) -> impl Strategy<Value = Vec<f32>> {
    let tie = (0..0x7bffu16).prop_map(|bits| (half(bits) + half(bits + 1)) / 2.0);
    let any = any::<f32>().prop_filter("half precision holds it", |value| value.abs() < 65520.0);
    let value = prop_oneof![tie.clone(), tie.prop_map(|value| -value), any, -8f32..8.0, Just(-0.0)];
    prop::collection::vec(value, count)
}

/// The number with the given bits of half precision.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10), f32::from(bits & 0x3ff));
    if exponent == 0 { fraction * 2f32.powi(-24) } else { (1024.0 + fraction) * 2f32.powi(exponent - 25) }
}

fn samples() -> impl Strategy<Value = Sample> {
    let dtype = prop_oneof![Just(CacheDtype::F32), Just(CacheDtype::F16)];
    (dtype, 1..24usize, 1..7usize, 1..9usize).prop_flat_map(|(dtype, rows, dim, chunk_rows)| {
        let shape = Shape { rows, dim, chunk_rows };
        values(rows * dim).prop_map(move |values| Sample { dtype, shape, values })
    })
}

fn all(feature_file: &FeatureFile) -> Vec<f32> {
    let mut out = Vec::new();
    feature_file.read_range(0..feature_file.rows(), &mut out).unwrap();
    out
}

/// Equal to the last bit, the sign of zero included.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn features_come_back_to_their_precision(sample in samples(), picks in prop::collection::vec(any::<u32>(), 0..9)) {
        let (_folder, cache) = temporary_cache(None);
        let (feature_file, _) = sample.ensure(&cache);
        let stored = sample.stored();
        prop_assert_eq!(bits(&all(&feature_file)), bits(&stored));

        let Shape { rows, dim, .. } = sample.shape;
        let picks: Vec<u32> = picks.iter().map(|pick| pick % rows as u32).collect();
        let mut read = vec![f32::NAN; picks.len() * dim];
        feature_file.read_rows(&picks, &mut read).unwrap();
        let expected: Vec<f32> = picks.iter().flat_map(|&row| stored[row as usize * dim..][..dim].to_vec()).collect();
        prop_assert_eq!(bits(&read), bits(&expected));
    }

    #[test]
    fn an_interruption_leaves_no_trace(sample in samples(), at in any::<prop::sample::Index>()) {
        let (_folder, cache) = temporary_cache(None);
        let chunks = sample.shape.chunks();
        let interrupted_at = at.index(chunks);
        let extract = |rows: Range<usize>| match rows.start / sample.shape.chunk_rows {
            chunk if chunk == interrupted_at => Err(Failure::Extract("interrupted".into())),
            _ => Ok(sample.of(rows)),
        };
        cache.ensure(&sample.key(), sample.shape, extract, |_| Ok(())).unwrap_err();
        let (feature_file, extracted) = sample.ensure(&cache);
        prop_assert_eq!(extracted, Vec::from_iter(interrupted_at..chunks));
        prop_assert_eq!(bits(&all(&feature_file)), bits(&sample.stored()));
    }

    #[test]
    fn a_damaged_byte_costs_its_chunk(sample in samples(), at in any::<prop::sample::Index>()) {
        let (_folder, cache) = temporary_cache(None);
        let (feature_file, _) = sample.ensure(&cache);
        let byte = at.index(sample.bytes() as usize);
        flip_byte(feature_file.path(), byte as u64);
        let row = byte / (sample.shape.dim * sample.dtype.bytes());
        let (feature_file, extracted) = sample.ensure(&cache);
        prop_assert_eq!(extracted, vec![row / sample.shape.chunk_rows]);
        prop_assert_eq!(bits(&all(&feature_file)), bits(&sample.stored()));
    }

    #[test]
    fn the_cache_counts_what_the_disk_holds(sample in samples()) {
        let (_folder, cache) = temporary_cache(None);
        let (feature_file, _) = sample.ensure(&cache);
        prop_assert_eq!(fs::metadata(feature_file.path()).unwrap().len(), sample.bytes());
        let entry = &cache.list().unwrap()[0];
        prop_assert_eq!(entry.bytes, sample.bytes() + 32 * sample.shape.chunks() as u64);
        prop_assert_eq!(entry.key.as_ref(), Some(&sample.key()));
        prop_assert!(entry.complete);

        let exactly = FeatureCache::open(cache.root(), Some(entry.bytes)).unwrap();
        prop_assert!(exactly.ensure::<CacheError>(&sample.key(), sample.shape, |_| unreachable!(), |_| Ok(())).is_ok());
        drop(feature_file);
        let left = || {
            let mut left: Vec<_> = fs::read_dir(&entry.path).unwrap().map(|file| file.unwrap().file_name()).collect();
            left.sort();
            left
        };
        // A process that another test is about to start holds a copy of our lock until it has started.
        for _ in 0..100 {
            cache.prune(0).unwrap();
            if left() == ["build.lock", "use.lock"] {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        prop_assert_eq!(left(), ["build.lock", "use.lock"]);
    }
}

/// The features of [`SHAPE`], stored in half precision.
fn half_sample() -> Sample {
    Sample { dtype: CacheDtype::F16, shape: SHAPE, values: features(0, 0..SHAPE.rows, SHAPE.dim) }
}

#[test]
fn each_precision_has_a_feature_file_of_its_own() {
    let (_folder, cache) = temporary_cache(None);
    let (full, _) = ensure(&cache, 0, SHAPE).unwrap();
    let (half, extracted) = half_sample().ensure(&cache);
    assert_eq!((extracted.len(), cache.list().unwrap().len()), (4, 2));
    assert_eq!((full.dtype(), half.dtype()), (CacheDtype::F32, CacheDtype::F16));
    assert_ne!(full.path().file_name(), half.path().file_name());
}

#[test]
fn a_long_range_is_read_block_by_block() {
    let shape = Shape { rows: 30_001, dim: 3, chunk_rows: 7000 };
    let values: Vec<f32> = (0..shape.rows * shape.dim).map(|at| (at % 4096) as f32 / 64.0).collect();
    let (_folder, cache) = temporary_cache(None);
    let (feature_file, _) = Sample { dtype: CacheDtype::F16, shape, values: values.clone() }.ensure(&cache);
    // 13 bits do not fit into 11.
    let stored: Vec<f32> = values.iter().map(|&value| nearest_half(value)).collect();
    assert!(all(&feature_file) == stored && stored != values);
}

#[test]
fn a_feature_beyond_half_precision_is_refused() {
    let (_folder, cache) = temporary_cache(None);
    let mut sample = half_sample();
    sample.values[7] = -65520.0;
    let extract = |rows| Ok::<_, CacheError>(sample.of(rows));
    let error = cache.ensure(&sample.key(), SHAPE, extract, |_| Ok(())).unwrap_err();
    assert!(matches!(error, CacheError::OutOfRange { row: 1, column: 2, value: -65520.0, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("range of f16") && text.contains("help: set `precision = \"f32\"`"), "{text}");
    assert_eq!(cache.list().unwrap()[0].rows_done, 0);

    sample.dtype = CacheDtype::F32;
    assert_eq!(all(&sample.ensure(&cache).0), sample.values);
}

#[test]
fn half_precision_that_is_cut_short_under_its_reader_is_an_error() {
    let (_folder, cache) = temporary_cache(None);
    let (feature_file, _) = half_sample().ensure(&cache);
    cut(feature_file.path(), 50);
    feature_file.read_rows(&[4], &mut [0.0; 5]).unwrap();
    let error = feature_file.read_rows(&[5], &mut [0.0; 5]).unwrap_err();
    assert!(matches!(error, CacheError::Truncated { expected: 110, found: 50, .. }), "{error}");
}

#[test]
fn the_size_of_half_precision_is_known_without_its_description() {
    let (_folder, cache) = temporary_cache(None);
    half_sample().ensure(&cache);
    cut(&only_feature_file(&cache).join("key.json"), 20);
    let entry = &cache.list().unwrap()[0];
    assert_eq!((entry.key.as_ref(), entry.bytes), (None, 110));
}
