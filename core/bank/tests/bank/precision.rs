//! Both precisions do all that a bank promises.

use proptest::prelude::*;

use super::*;

/// A segment as a property draws it.
#[derive(Clone, Debug)]
struct Sample {
    precision: Precision,
    shape: Shape,
    /// What extraction computes, row-major.
    values: Vec<f32>,
}

impl Sample {
    fn key(&self) -> SegmentKey {
        SegmentKey { precision: self.precision, ..key(0) }
    }

    fn of(&self, rows: Range<usize>) -> Vec<f32> {
        self.values[rows.start * self.shape.dim..rows.end * self.shape.dim].to_vec()
    }

    /// Ensures the segment and tells which chunks were extracted for it.
    fn ensure(&self, bank: &Bank) -> (Segment, Vec<usize>) {
        let mut chunks = Vec::new();
        let extract = |rows: Range<usize>| {
            chunks.push(rows.start / self.shape.chunk_rows);
            Ok::<_, BankError>(self.of(rows))
        };
        let segment = bank.ensure(&self.key(), self.shape, extract, |_| Ok(())).unwrap();
        (segment, chunks)
    }

    /// What the segment holds: the values to its precision.
    fn stored(&self) -> Vec<f32> {
        match self.precision {
            Precision::F32 => self.values.clone(),
            Precision::F16 => self.values.iter().map(|&value| nearest_half(value)).collect(),
        }
    }

    fn bytes(&self) -> u64 {
        (self.values.len() * self.precision.bytes()) as u64
    }
}

/// Rounds as the standard says, in arithmetic that is exact: to a multiple of the value's last binary place.
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

/// The number that bits of half precision stand for.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10), f32::from(bits & 0x3ff));
    if exponent == 0 { fraction * 2f32.powi(-24) } else { (1024.0 + fraction) * 2f32.powi(exponent - 25) }
}

fn samples() -> impl Strategy<Value = Sample> {
    let precision = prop_oneof![Just(Precision::F32), Just(Precision::F16)];
    (precision, 1..24usize, 1..7usize, 1..9usize).prop_flat_map(|(precision, rows, dim, chunk_rows)| {
        let shape = Shape { rows, dim, chunk_rows };
        values(rows * dim).prop_map(move |values| Sample { precision, shape, values })
    })
}

fn all(segment: &Segment) -> Vec<f32> {
    let mut out = Vec::new();
    segment.read_range(0..segment.rows(), &mut out).unwrap();
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
        let (_folder, bank) = temporary_bank(None);
        let (segment, _) = sample.ensure(&bank);
        let stored = sample.stored();
        prop_assert_eq!(bits(&all(&segment)), bits(&stored));

        let Shape { rows, dim, .. } = sample.shape;
        let picks: Vec<u32> = picks.iter().map(|pick| pick % rows as u32).collect();
        let mut read = vec![f32::NAN; picks.len() * dim];
        segment.read_rows(&picks, &mut read).unwrap();
        let expected: Vec<f32> = picks.iter().flat_map(|&row| stored[row as usize * dim..][..dim].to_vec()).collect();
        prop_assert_eq!(bits(&read), bits(&expected));
    }

    #[test]
    fn an_interruption_leaves_no_trace(sample in samples(), at in any::<prop::sample::Index>()) {
        let (_folder, bank) = temporary_bank(None);
        let chunks = sample.shape.chunks();
        let interrupted_at = at.index(chunks);
        let extract = |rows: Range<usize>| match rows.start / sample.shape.chunk_rows {
            chunk if chunk == interrupted_at => Err(Failure::Extract("interrupted".into())),
            _ => Ok(sample.of(rows)),
        };
        bank.ensure(&sample.key(), sample.shape, extract, |_| Ok(())).unwrap_err();
        let (segment, extracted) = sample.ensure(&bank);
        prop_assert_eq!(extracted, Vec::from_iter(interrupted_at..chunks));
        prop_assert_eq!(bits(&all(&segment)), bits(&sample.stored()));
    }

    #[test]
    fn a_damaged_byte_costs_its_chunk(sample in samples(), at in any::<prop::sample::Index>()) {
        let (_folder, bank) = temporary_bank(None);
        let (segment, _) = sample.ensure(&bank);
        let byte = at.index(sample.bytes() as usize);
        flip_byte(segment.path(), byte as u64);
        let row = byte / (sample.shape.dim * sample.precision.bytes());
        let (segment, extracted) = sample.ensure(&bank);
        prop_assert_eq!(extracted, vec![row / sample.shape.chunk_rows]);
        prop_assert_eq!(bits(&all(&segment)), bits(&sample.stored()));
    }

    #[test]
    fn the_bank_counts_what_the_disk_holds(sample in samples()) {
        let (_folder, bank) = temporary_bank(None);
        let (segment, _) = sample.ensure(&bank);
        prop_assert_eq!(fs::metadata(segment.path()).unwrap().len(), sample.bytes());
        let entry = &bank.list().unwrap()[0];
        prop_assert_eq!(entry.bytes, sample.bytes() + 32 * sample.shape.chunks() as u64);
        prop_assert_eq!(entry.key.as_ref(), Some(&sample.key()));
        prop_assert!(entry.complete);

        let exactly = Bank::open(bank.root(), Some(entry.bytes)).unwrap();
        prop_assert!(exactly.ensure::<BankError>(&sample.key(), sample.shape, |_| unreachable!(), |_| Ok(())).is_ok());
        drop(segment);
        let left = || {
            let mut left: Vec<_> = fs::read_dir(&entry.path).unwrap().map(|file| file.unwrap().file_name()).collect();
            left.sort();
            left
        };
        // A process that another test is about to start holds a copy of our lock until it has started.
        for _ in 0..100 {
            bank.prune(0).unwrap();
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
    Sample { precision: Precision::F16, shape: SHAPE, values: features(0, 0..SHAPE.rows, SHAPE.dim) }
}

#[test]
fn each_precision_has_a_segment_of_its_own() {
    let (_folder, bank) = temporary_bank(None);
    let (full, _) = ensure(&bank, 0, SHAPE).unwrap();
    let (half, extracted) = half_sample().ensure(&bank);
    assert_eq!((extracted.len(), bank.list().unwrap().len()), (4, 2));
    assert_eq!((full.precision(), half.precision()), (Precision::F32, Precision::F16));
    assert_ne!(full.path().file_name(), half.path().file_name());
}

#[test]
fn a_long_range_is_read_block_by_block() {
    let shape = Shape { rows: 30_001, dim: 3, chunk_rows: 7000 };
    let values: Vec<f32> = (0..shape.rows * shape.dim).map(|at| (at % 4096) as f32 / 64.0).collect();
    let (_folder, bank) = temporary_bank(None);
    let (segment, _) = Sample { precision: Precision::F16, shape, values: values.clone() }.ensure(&bank);
    // 13 bits do not fit into 11.
    let stored: Vec<f32> = values.iter().map(|&value| nearest_half(value)).collect();
    assert!(all(&segment) == stored && stored != values);
}

#[test]
fn a_feature_beyond_half_precision_is_refused() {
    let (_folder, bank) = temporary_bank(None);
    let mut sample = half_sample();
    sample.values[7] = -65520.0;
    let extract = |rows| Ok::<_, BankError>(sample.of(rows));
    let error = bank.ensure(&sample.key(), SHAPE, extract, |_| Ok(())).unwrap_err();
    assert!(matches!(error, BankError::OutOfRange { row: 1, column: 2, value: -65520.0, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("range of f16") && text.contains("help: set `precision = \"f32\"`"), "{text}");
    assert_eq!(bank.list().unwrap()[0].rows_done, 0);

    sample.precision = Precision::F32;
    assert_eq!(all(&sample.ensure(&bank).0), sample.values);
}

#[test]
fn half_precision_that_is_cut_short_under_its_reader_is_an_error() {
    let (_folder, bank) = temporary_bank(None);
    let (segment, _) = half_sample().ensure(&bank);
    cut(segment.path(), 50);
    segment.read_rows(&[4], &mut [0.0; 5]).unwrap();
    let error = segment.read_rows(&[5], &mut [0.0; 5]).unwrap_err();
    assert!(matches!(error, BankError::Truncated { expected: 110, found: 50, .. }), "{error}");
}

#[test]
fn the_size_of_half_precision_is_known_without_its_description() {
    let (_folder, bank) = temporary_bank(None);
    half_sample().ensure(&bank);
    cut(&only_segment(&bank).join("key.json"), 20);
    let entry = &bank.list().unwrap()[0];
    assert_eq!((entry.key.as_ref(), entry.bytes), (None, 110));
}
