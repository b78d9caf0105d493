use std::fs;

use hashlab_data::{
    ByModality, DataDirs, DataKind, Dataset, DatasetEntry, DatasetInfo, DatasetSource, DatasetSummary, Images,
    ItemData, Labels, Modality, Rgb, Split,
};
use hashlab_hub::{File, Kind};
use hashlab_methods::METHODS;
use hashlab_settings::NoParams;

use super::stand_ins::StandIns;
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
        files: &[File { name: "a.bin", place: PLACE, sha256: Some(SHA256), megabytes: 0.1 }],
    });
    type Settings = NoParams;

    fn declared(_: &NoParams) -> Option<DatasetInfo> {
        let modalities = ByModality::one(Modality::Image, DataKind::Pixels);
        Some(DatasetInfo { identity: SHA256.into(), modalities, classes: vec!["x".into()], protocols: Vec::new() })
    }

    fn open(settings: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        let looked: Vec<_> = dirs.search.iter().map(|dir| dir.join(PLACE)).collect();
        match looked.iter().find(|path| path.exists()) {
            Some(path) => {
                let (path, info) = (path.clone(), Self::declared(settings).expect("it is declared"));
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
    let encoders = hashlab_encoders::ENCODERS;
    context_of(Registry { methods: METHODS, datasets, encoders, published: &[] }, dir)
}

fn context_of(registry: Registry, dir: &Path) -> Context {
    let dirs = DirArgs { data_dir: Some(dir.to_owned()), runs: dir.join("runs"), cache_dir: None, cache_limit: None };
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
    fetch(&context, &item, &Hub::at(&local.endpoint)).unwrap();
    assert_eq!(fs::read(dir.path().join(PLACE)).unwrap(), CONTENT);
    let requests = local.requests().len();
    fetch(&context, &item, &Hub::at(&local.endpoint)).unwrap();
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
    assert!(fetch(&context, &item, &Hub::at(&LocalHub::start(Fault::OtherContent).endpoint)).is_err());
    assert_eq!(item.here(&context).unwrap(), Vec::<PathBuf>::new());
}

/// As an interrupted download by other means leaves it.
#[test]
fn a_file_that_is_not_the_published_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(TINY, dir.path());
    let item = Item::find(&context, "tiny").unwrap();
    let place = dir.path().join("a.bin");
    fs::write(&place, &CONTENT[1..]).unwrap();
    let message = item.check_file(&item.published.remotes().next().unwrap(), &place).unwrap_err().to_string();
    assert!(message.contains("a.bin is not the published file: its SHA-256 is "), "{message}");
    assert!(message.ends_with(&format!("expected {SHA256}\nhelp: remove it, and `hashlab fetch tiny` downloads it")));
    fs::write(&place, CONTENT).unwrap();
    item.check_file(&item.published.remotes().next().unwrap(), &place).unwrap();
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
        assert!(message(name).contains("\nhelp: can be fetched: cifar10, cifar100"), "{}", message(name));
    }
}

#[test]
fn declarations_are_whole() {
    let context = context(hashlab_datasets::DATASETS, Path::new("data"));
    let hexadecimal = |text: &str, len| text.len() == len && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    for item in Item::all(&context) {
        let Published { repo, revision, license, files, .. } = *item.published;
        assert!(!license.is_empty() && repo.contains('/'), "{repo}");
        for file in files {
            assert!(file.sha256.is_none_or(|digest| hexadecimal(digest, 64)) && file.megabytes > 0.0, "{}", file.name);
            // A branch moves: what is fetched from one has no digest beforehand.
            assert!(hexadecimal(revision, 40) || file.sha256.is_none(), "{repo}");
            assert!(Path::new(file.place).is_relative() && !file.place.contains(".."), "{}", file.place);
        }
    }
}

/// What an experiment says and does: nothing is here, everything is fetched, and then the network is not needed.
#[test]
fn every_experiment_runs_as_it_stands_with_what_is_fetched() {
    if proxied() {
        return;
    }
    let StandIns { hub, registry } = StandIns::start();
    let folder = tempfile::tempdir().unwrap();
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    let mut files: Vec<_> = fs::read_dir(experiments).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    assert!(files.len() > 8);
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let data = folder.path().join(&name).with_extension("data");
        let copy = folder.path().join(&name); // lock files are written beside experiments
        fs::copy(&file, &copy).unwrap();
        let context = context_of(registry, &data);
        let experiment = ExperimentArgs { file: Some(copy.clone()), set: Vec::new() };
        let plan = |hub: &Hub| crate::files::plan(&context, &experiment, Extent::All, hub, &|_| Ok(()));
        let offline = plan(&Hub::at(&hub.endpoint).offline());
        let needs_files = !matches!(name.as_str(), "quickstart.toml" | "cibhash_search.toml");
        let refused = offline.as_ref().err().map(ToString::to_string);
        assert_eq!(refused.is_some(), needs_files, "{name}: {refused:?}");
        if let Some(message) = &refused {
            assert!(message.contains(&format!("help: `hashlab fetch {}` downloads ", copy.display())), "{message}");
            assert!(message.contains("license: "), "{message}");
        }
        let requests = hub.requests().len();
        let planned = plan(&Hub::at(&hub.endpoint)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(hub.requests().len() > requests, needs_files, "{name}");
        let requests = hub.requests().len();
        let again = plan(&Hub::at(&hub.endpoint).offline()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((again.plan.digest(), hub.requests().len()), (planned.plan.digest(), requests), "{name}");
        let config = planned.plan.runs[0].template();
        let entry = context.registry().dataset(&config.dataset).unwrap();
        let opened = entry.open(&config.data, &context.dirs().data).unwrap();
        opened.split(&config.protocol, config.split_seed).unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::remove_dir_all(data).ok();
    }
}

#[test]
fn files_without_a_digest_are_recorded_and_enforced() {
    if proxied() {
        return;
    }
    let StandIns { hub, registry } = StandIns::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.toml");
    let address = "hf://sentence-transformers/all-MiniLM-L6-v2@1110a243fdf4706b3f48f1d95db1a4f5529b4d41";
    fs::write(
        &file,
        format!(
            "dataset = \"shapes\"\nbits = [16]\n[text]\nencoder = \"minilm\"\n\
             weights = \"{address}/model.safetensors\"\ntokenizer = \"{address}/tokenizer.json\"\n[[method]]\nname = \"lsh\"\n"
        ),
    )
    .unwrap();
    let context = context_of(registry, &folder.path().join("data"));
    let experiment = ExperimentArgs { file: Some(file), set: Vec::new() };
    let said = std::cell::RefCell::new(String::new());
    let say = |text: &str| -> Result<()> {
        said.borrow_mut().push_str(text);
        Ok(())
    };
    let plan = || crate::files::plan(&context, &experiment, Extent::All, &Hub::at(&hub.endpoint), &say);
    plan().unwrap();
    let told = said.borrow().clone();
    let first = ["fetching 2 files", "model.safetensors", "tokenizer.json", "see there", "e.lock: hf://sentence-"];
    first.iter().for_each(|part| assert!(told.contains(part), "`{part}` in {told}"));
    let lock = fs::read_to_string(folder.path().join("e.lock")).unwrap();
    assert_eq!(lock.matches("sha256 = ").count(), 2, "{lock}");
    assert!(lock.contains(REVISION), "{lock}");
    plan().unwrap();
    // Another file in its place is refused, until the entry is removed.
    let name = "sentence-transformers/all-MiniLM-L6-v2@1110a243fdf4706b3f48f1d95db1a4f5529b4d41/tokenizer.json";
    let tokenizer = folder.path().join("data/weights/hub").join(name);
    let text = fs::read_to_string(&tokenizer).unwrap();
    fs::write(&tokenizer, format!("{text}\n")).unwrap();
    let message = plan().map(|_| ()).unwrap_err().to_string();
    assert!(
        message.contains("tokenizer.json is not the file that ") && message.contains("e.lock records"),
        "{message}"
    );
    fs::remove_file(folder.path().join("e.lock")).unwrap();
    plan().unwrap();
    assert!(folder.path().join("e.lock").exists(), "what is here is recorded, too");
    // A file that comes another way is compared with the lock file.
    fs::remove_file(&tokenizer).unwrap();
    let message = plan().map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("its SHA-256 is "), "{message}");
}

/// A data set with the name and the settings of a real one, and its protocols without their files.
struct OnPaper<S>(std::marker::PhantomData<S>);

/// The protocols that experiments of papers name, or could.
const PROTOCOLS: [(&str, &[&str]); 4] = [
    ("imagenet100", &["hashnet"]),
    ("nuswide", &["toolkit", "supervised", "unsupervised", "hashnet", "mith"]),
    ("coco", &["dchmt", "coco", "unsupervised"]),
    ("mirflickr", &["unsupervised", "mith", "dchmt", "toolkit", "deephash"]),
];

impl<S: DatasetSource> DatasetSource for OnPaper<S> {
    const SUMMARY: DatasetSummary = S::SUMMARY;
    type Settings = S::Settings;

    fn declared(_: &S::Settings) -> Option<DatasetInfo> {
        let (_, protocols) = PROTOCOLS.iter().find(|(name, _)| *name == S::SUMMARY.name).unwrap();
        let mut modalities = ByModality::one(Modality::Image, DataKind::Pixels);
        modalities.insert(Modality::Text, DataKind::Texts);
        let protocols = protocols.iter().map(|name| hashlab_data::Protocol::new(name, "on paper", None)).collect();
        Some(DatasetInfo { identity: "on paper".into(), modalities, classes: vec!["x".into()], protocols })
    }

    fn open(_: &S::Settings, _: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Err(DataError::Missing { what: "the data".into(), looked: Vec::new(), help: "it is on paper".into() })
    }
}

#[test]
fn the_experiments_of_papers_lack_public_weights_alone() {
    const DATASETS: &[DatasetEntry] = &[
        DatasetEntry::of::<hashlab_datasets::cifar10::Cifar10>(),
        DatasetEntry::of::<OnPaper<hashlab_datasets::imagenet100::Imagenet100>>(),
        DatasetEntry::of::<OnPaper<hashlab_datasets::nuswide::NusWide>>(),
        DatasetEntry::of::<OnPaper<hashlab_datasets::coco::Coco>>(),
        DatasetEntry::of::<OnPaper<hashlab_datasets::mirflickr::Mirflickr>>(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let context = context(DATASETS, folder.path());
    let papers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/papers");
    let mut planned = 0;
    for entry in fs::read_dir(papers).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let Err(error) = context.plan(&ExperimentArgs { file: Some(file), set: Vec::new() }) else {
            panic!("{name} lacks nothing")
        };
        let missing = error.downcast::<hashlab_app::MissingFiles>().unwrap_or_else(|error| panic!("{name}: {error}"));
        let names: Vec<&str> = missing.needs.iter().map(|need| need.remote.repo.as_str()).collect();
        let expected: &[&str] = match name.as_str() {
            "coco_bert_resnet" => {
                &["timm/resnet101.tv_in1k", "google-bert/bert-base-uncased", "google-bert/bert-base-uncased"]
            }
            name if name.contains("ucmfh") => &["openai/clip-vit-base-patch32"; 2],
            name if name.starts_with("cibhash") => &["timm/vgg16.tv_in1k"],
            _ => &["timm/resnet50.tv_in1k"],
        };
        assert_eq!(names, expected, "{name}");
        planned += 1;
    }
    assert!(planned >= 14, "{planned}");
}
