use std::fs;

use hashlab_data::{DataDirs, Dataset, Entry, Info, Labels, NoSettings, Rgb, Source, Split};
use hashlab_hub::{File, Kind};
use hashlab_methods::METHODS;

use super::*;
use crate::Registry;
use crate::args::Places;
use crate::hub::local::{CONTENT, Fault, LocalHub, REVISION, SHA256, proxied};

/// A data set of one file. Any file opens; only the published one has the right digest.
struct Tiny(PathBuf, Labels);

const PLACE: &str = "tiny/a.bin";

impl Source for Tiny {
    const INFO: Info = Info {
        name: "tiny",
        title: "one file",
        source: "a test",
        licence: "MIT",
        citation: "none",
        identity: SHA256,
        classes: &["x"],
        captions: false,
        protocols: &[],
    };
    const PUBLISHED: Option<Published> = Some(Published {
        kind: Kind::Dataset,
        repo: "org/tiny",
        revision: REVISION,
        licence: "MIT",
        files: &[File { name: "a.bin", place: PLACE, sha256: SHA256, megabytes: 0.1 }],
    });
    type Settings = NoSettings;

    fn open(_: &NoSettings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        let looked: Vec<_> = dirs.0.iter().map(|dir| dir.join(PLACE)).collect();
        match looked.iter().find(|path| path.exists()) {
            Some(path) => Ok(Box::new(Self(path.clone(), Labels::single(1, [0])))),
            None => Err(DataError::Missing { what: "tiny".into(), looked, help: "fetch it".into() }),
        }
    }
}

impl Dataset for Tiny {
    fn len(&self) -> usize {
        1
    }

    fn image(&self, _: usize) -> Result<Rgb, DataError> {
        Ok(Rgb { width: 1, height: 1, pixels: vec![0; 3] })
    }

    fn caption(&self, _: usize) -> Option<String> {
        None
    }

    fn labels(&self) -> &Labels {
        &self.1
    }

    fn digest(&self) -> Result<&str, DataError> {
        let bytes = fs::read(&self.0).map_err(|source| DataError::Io { path: self.0.clone(), source })?;
        if bytes == CONTENT { Ok(SHA256) } else { Err(DataError::Invalid("another digest".into())) }
    }

    fn split(&self, protocol: &str, _: u64) -> Result<Split, DataError> {
        Err(Self::INFO.protocol(protocol).unwrap_err())
    }

    fn found_at(&self) -> Vec<PathBuf> {
        vec![self.0.clone()]
    }
}

fn context(datasets: &'static [Entry], dir: &Path) -> Context {
    let places = Places { data_dir: Some(dir.to_owned()), runs: dir.join("runs"), bank: None, bank_limit: None };
    Context::new(Registry { methods: METHODS, datasets }, places)
}

const TINY: &[Entry] = &[Entry::of::<Tiny>()];

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

#[test]
fn names_that_cannot_be_fetched_are_explained() {
    let context = context(hashlab_datasets::DATASETS, Path::new("data"));
    let message = |name: &str| Item::find(&context, name).map(|_| ()).unwrap_err().to_string();
    for (name, part) in [
        ("cifar", "no data set or backbone `cifar`"),
        ("shapes", "data set `shapes` is not on the hub"),
        ("convnet", "random weights"),
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
        let Published { repo, revision, licence, files, .. } = *item.published;
        assert!(hexadecimal(revision, 40) && !licence.is_empty() && repo.contains('/'), "{repo}");
        for file in files {
            assert!(hexadecimal(file.sha256, 64) && file.megabytes > 0.0, "{}", file.name);
            assert!(Path::new(file.place).is_relative() && !file.place.contains(".."), "{}", file.place);
        }
    }
}
