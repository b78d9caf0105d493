use std::fs;

use hashlab_data::{
    ByModality, DataDirs, DataKind, Dataset, DatasetEntry, DatasetInfo, DatasetSource, DatasetSummary, Images,
    ItemData, Labels, Modality, Rgb, Split,
};
use hashlab_hub::Kind;
use hashlab_methods::METHODS;
use hashlab_settings::NoParams;

use super::*;
use crate::Registry;
use crate::args::DirArgs;
use crate::hub::local::{CONTENT, Fault, LocalHub, REVISION, SHA256, proxied};

/// A data set of one file. Any file opens; only the published one has the right digest.
struct Tiny {
    path: PathBuf,
    info: DatasetInfo,
    labels: Labels,
}

const PLACE: &str = "tiny/a.bin";

impl DatasetSource for Tiny {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: "tiny",
        title: "Tiny",
        description: "one file",
        source: "a test",
        license: "MIT",
        citation: "none",
    };
    const PUBLISHED: Option<Published> = Some(Published {
        kind: Kind::Dataset,
        repo: "org/tiny",
        revision: REVISION,
        license: "MIT",
        files: &[File { name: "a.bin", place: PLACE, sha256: SHA256, megabytes: 0.1 }],
    });
    type Settings = NoParams;

    fn describe(_: &NoParams, _: &DataDirs) -> Result<DatasetInfo, DataError> {
        let modalities = ByModality::one(Modality::Image, DataKind::Pixels);
        Ok(DatasetInfo { identity: SHA256.into(), modalities, classes: vec!["x".into()], protocols: Vec::new() })
    }

    fn open(settings: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        let looked: Vec<_> = dirs.search.iter().map(|dir| dir.join(PLACE)).collect();
        match looked.iter().find(|path| path.exists()) {
            Some(path) => {
                let (path, info) = (path.clone(), Self::describe(settings, dirs)?);
                Ok(Box::new(Self { path, info, labels: Labels::single(1, [0]) }))
            }
            None => Err(DataError::Missing { what: "tiny".into(), looked, help: "fetch it".into() }),
        }
    }
}

impl Images for Tiny {
    fn image(&self, _: usize) -> Result<Rgb, DataError> {
        Ok(Rgb { width: 1, height: 1, pixels: vec![0; 3] })
    }
}

impl Dataset for Tiny {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        (modality == Modality::Image).then_some(ItemData::Images(self))
    }

    fn digest(&self) -> Result<&str, DataError> {
        let bytes = fs::read(&self.path).map_err(|source| DataError::Io { path: self.path.clone(), source })?;
        if bytes == CONTENT { Ok(SHA256) } else { Err(DataError::Invalid("another digest".into())) }
    }

    fn split(&self, protocol: &str, _: u64) -> Result<Split, DataError> {
        Err(self.info.protocol(protocol).unwrap_err())
    }

    fn found_at(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}

fn context(datasets: &'static [DatasetEntry], dir: &Path) -> Context {
    let dirs = DirArgs { data_dir: Some(dir.to_owned()), runs: dir.join("runs"), cache_dir: None, cache_limit: None };
    let registry = Registry { methods: METHODS, datasets, encoders: hashlab_encoders::ENCODERS, published: &[] };
    Context::new(registry, dirs)
}

const TINY: &[DatasetEntry] = &[DatasetEntry::of::<Tiny>()];

#[test]
fn what_is_absent_is_fetched_once() {
    if proxied() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let context = context(TINY, dir.path());
    let item = Item::find(&context, "tiny").unwrap();
    assert_eq!(item.here(&context).unwrap(), Vec::<PathBuf>::new());
    let local = LocalHub::start(Fault::None);
    fetch(&context, &item, &local.hub()).unwrap();
    assert_eq!(fs::read(dir.path().join(PLACE)).unwrap(), CONTENT);
    let requests = local.requests().len();
    fetch(&context, &item, &local.hub()).unwrap();
    assert_eq!(local.requests().len(), requests, "nothing is asked for again");
    assert_eq!(item.here(&context).unwrap(), [dir.path().join(PLACE)]);
}

#[test]
fn a_failed_download_leaves_nothing_that_opens() {
    if proxied() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let context = context(TINY, dir.path());
    let item = Item::find(&context, "tiny").unwrap();
    assert!(fetch(&context, &item, &LocalHub::start(Fault::OtherContent).hub()).is_err());
    assert_eq!(item.here(&context).unwrap(), Vec::<PathBuf>::new());
}

/// As an interrupted download by other means leaves it.
#[test]
fn a_file_that_is_not_the_published_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = &File { name: "a.bin", place: PLACE, sha256: SHA256, megabytes: 0.1 };
    let context = context(TINY, dir.path());
    let item = Item::find(&context, "tiny").unwrap();
    let place = dir.path().join("a.bin");
    fs::write(&place, &CONTENT[1..]).unwrap();
    let message = item.check_file(file, &place).unwrap_err().to_string();
    assert!(message.contains("a.bin is not the published file: its SHA-256 is "), "{message}");
    assert!(message.ends_with(&format!("expected {SHA256}\nhelp: remove it, and `hashlab fetch tiny` downloads it")));
    fs::write(&place, CONTENT).unwrap();
    item.check_file(file, &place).unwrap();
}

#[test]
fn names_that_cannot_be_fetched_are_explained() {
    let context = context(hashlab_datasets::DATASETS, Path::new("data"));
    let message = |name: &str| Item::find(&context, name).map(|_| ()).unwrap_err().to_string();
    for (name, part) in [
        ("cifar", "no data set or encoder `cifar`"),
        ("shapes", "data set `shapes` is not on the hub"),
        ("convnet", "reads no weights file"),
        ("squeezenet1_1", "torchvision.models.squeezenet1_1(weights=\"DEFAULT\")"),
    ] {
        assert!(message(name).contains(part), "{}", message(name));
        assert!(message(name).contains("\nhelp: can be fetched: cifar10, mobilenet_v2"), "{}", message(name));
    }
}

#[test]
fn declarations_are_whole() {
    let context = context(hashlab_datasets::DATASETS, Path::new("data"));
    let hexadecimal = |text: &str, len| text.len() == len && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    for item in Item::all(&context) {
        let Published { repo, revision, license, files, .. } = *item.published;
        assert!(hexadecimal(revision, 40) && !license.is_empty() && repo.contains('/'), "{repo}");
        for file in files {
            assert!(hexadecimal(file.sha256, 64) && file.megabytes > 0.0, "{}", file.name);
            assert!(Path::new(file.place).is_relative() && !file.place.contains(".."), "{}", file.place);
        }
    }
}
