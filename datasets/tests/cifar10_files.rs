//! The real CIFAR-10, in either layout, where `HASHLAB_DATA` has it; skipped elsewhere.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use hashlab_data::{DataDirs, Dataset, DatasetSource as _, ItemData, Modality, Rgb};
use hashlab_datasets::cifar10::Cifar10;
use hashlab_settings::NoParams;

/// Opens the files, or says why the test is skipped.
fn cifar10() -> Option<Box<dyn Dataset>> {
    if std::env::var_os("HASHLAB_DATA").is_none() {
        eprintln!("skipped: HASHLAB_DATA is not set");
        return None;
    }
    Some(Cifar10::open(&NoParams {}, &DataDirs::discover(None)).unwrap_or_else(|error| panic!("{error}")))
}

fn image(dataset: &dyn Dataset, index: usize) -> Rgb {
    let Some(ItemData::Images(images)) = dataset.data(Modality::Image) else { panic!("CIFAR-10 has images") };
    images.image(index).unwrap()
}

/// Values read from the authors' binary files with numpy.
#[test]
fn pixels_and_labels_are_the_published_ones() {
    let Some(dataset) = cifar10() else { return };
    assert_eq!(dataset.digest().unwrap(), dataset.info().identity);
    assert_eq!([0, 1, 50_000, 59_999].map(|item| dataset.labels().classes_of(item)), [[6], [9], [3], [7]]);
    assert_eq!(image(dataset.as_ref(), 0).pixels[..3], [59, 62, 63]);
    let last = image(dataset.as_ref(), 59_999);
    assert_eq!(last.pixels[..3], [73, 78, 75]);
    assert_eq!(last.pixels.iter().map(|&value| u32::from(value)).sum::<u32>() + 7, 331_669);
}

/// Sums from numpy 2.4.6, `labels` being those of the official training part:
/// ```python
/// numpy.random.seed(0)
/// train = [numpy.random.permutation(numpy.where(labels == c)[0])[:500] for c in range(10)]
/// test = numpy.arange(10000); numpy.random.shuffle(test)
/// print(numpy.concatenate(train).sum(), test[:5000].sum())
/// ```
#[test]
fn cibhash_splits_as_the_reference_code_does() {
    let Some(dataset) = cifar10() else { return };
    let split = dataset.split("cibhash", 0).unwrap();
    assert_eq!(split.train.iter().sum::<u32>(), 124_364_950);
    assert_eq!(split.validation_query.iter().map(|item| item - 50_000).sum::<u32>(), 24_948_631);
}
