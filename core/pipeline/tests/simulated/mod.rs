//! A run of any size: images made on the fly, a method that costs next to nothing, and the memory of every stage.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::{Device, Tensor};
use hashlab_cache::{CacheDtype, FeatureCache};
use hashlab_data::{
    ByModality, DataError, DataKind, Dataset, DatasetInfo, Images, ItemData, Labels, Modality, Protocol, Rgb, Roles,
    Split,
};
use hashlab_encoders::ENCODERS;
use hashlab_method::{
    BuildContext, Definition, Features, Fitted, HashMethod, MethodEntry, MethodInfo, Needs, NoParams, State,
    Supervision, TrainSet,
};
use hashlab_pipeline::run::{RunEnd, RunJob, plain_features, run};
use hashlab_pipeline::{EncoderContext, RunEnvironment};
use hashlab_settings::Settings;
use hashlab_store::{RunConfig, SCHEMA};
use hashlab_train::TrainObserver;
use serde_json::json;

const CLASSES: usize = 10;
const BITS: usize = 64;

/// Queries; every other item is in the database.
const QUERIES: usize = 1_000;
/// The most training items.
const TRAIN: usize = 10_000;

/// Size of a run.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// Items of the data set.
    pub(crate) items: usize,
    /// Side of an image in pixels.
    pub(crate) size: usize,
    /// Type of the stored features.
    pub(crate) dtype: CacheDtype,
}

/// Time and memory of a part of a run.
pub(crate) struct Stage {
    /// Name.
    name: &'static str,
    /// Wall-clock seconds.
    seconds: f64,
    /// Largest resident size during the stage, in bytes.
    pub(crate) peak: u64,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.peak as f64 / f64::from(1 << 20);
        write!(f, "{:9} {:7.1} s, peak {mib:6.1} MiB", self.name, self.seconds)
    }
}

/// Runs at a scale with a feature cache at `folder`. The stages: `extract`; `open`, the feature file's checksums and
/// the training items' features; `fit`; `encode`; `evaluate`.
pub(crate) fn stages(scale: Scale, folder: &Path) -> Result<Vec<Stage>> {
    let (dataset, config) = (Simulated::new(scale), config(scale));
    let cache = FeatureCache::open(folder, None)?;
    let setup = EncoderContext { cache: &cache, encoders: ENCODERS, files: &|_| None };
    let environment = RunEnvironment::new(&config, &dataset, setup, &Device::Cpu)?;
    meter().to_encode = scale.items;
    meter().begin()?;
    drop(plain_features(&environment, &mut |_, _| Ok(()))?);
    meter().end("extract")?;
    execute(&config, &environment)?;
    meter().end("evaluate")?;
    Ok(std::mem::take(&mut meter().stages))
}

fn execute(config: &RunConfig, environment: &RunEnvironment<'_>) -> Result<()> {
    let end = run(RunJob {
        config,
        method: &MethodEntry::fitted::<Centered>(),
        environment,
        observer: &mut Silent,
        checkpoint: None,
        provenance: BTreeMap::new(),
    })?;
    match end {
        RunEnd::Result { result, .. } => ensure!(result.mean_test("map_at_k") > Some(0.0), "nothing was found"),
        RunEnd::Interrupted | RunEnd::Stopped { .. } => bail!("nobody asked it to stop"),
    }
    Ok(())
}

fn config(scale: Scale) -> RunConfig {
    let table = |value: serde_json::Value| -> Settings { value.as_object().cloned().unwrap_or_default() };
    let image = table(json!({ "image_size": scale.size, "cache_dtype": scale.dtype }));
    RunConfig {
        schema: SCHEMA,
        method: Centered::INFO.name.into(),
        revision: 1,
        params: Settings::new(),
        bits: BITS,
        seed: 0,
        dataset: "simulated".into(),
        dataset_identity: "v1".into(),
        data: Settings::new(),
        protocol: "only".into(),
        split_seed: 0,
        encoders: ByModality::one(Modality::Image, image),
        train: Settings::new(),
        eval: table(json!({ "map_at": "all" })),
    }
}

// ---- the meter --------------------------------------------------------------------------------------------------

static METER: Mutex<Meter> = Mutex::new(Meter { stages: Vec::new(), since: None, to_encode: 0 });

/// Records stages as they end. It is global, because the run passes nothing but items to the method.
struct Meter {
    stages: Vec<Stage>,
    /// Start of the present stage.
    since: Option<Instant>,
    /// Items that are not encoded yet.
    to_encode: usize,
}

fn meter() -> MutexGuard<'static, Meter> {
    METER.lock().expect("no stage panicked")
}

impl Meter {
    fn begin(&mut self) -> Result<()> {
        self.since = Some(Instant::now());
        // The kernel then takes the present resident size for the largest.
        let path = "/proc/self/clear_refs";
        File::options().write(true).open(path).and_then(|mut file| file.write_all(b"5")).context(path)
    }

    fn end(&mut self, name: &'static str) -> Result<()> {
        let seconds = self.since.context("no stage began")?.elapsed().as_secs_f64();
        self.stages.push(Stage { name, seconds, peak: peak()? });
        self.begin()
    }

    fn encoded(&mut self, items: usize) -> Result<()> {
        self.to_encode -= items;
        if self.to_encode == 0 { self.end("encode") } else { Ok(()) }
    }
}

/// Largest resident size of this process since the present stage began, in bytes.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

// ---- the data set -----------------------------------------------------------------------------------------------

struct Simulated {
    info: DatasetInfo,
    labels: Labels,
    size: usize,
}

impl Simulated {
    fn new(Scale { items, size, .. }: Scale) -> Self {
        let info = DatasetInfo {
            identity: "v1".into(),
            modalities: ByModality::one(Modality::Image, DataKind::Pixels),
            classes: Vec::new(),
            protocols: vec![Protocol::new("only", "1,000 queries, up to 10,000 training items", None)],
        };
        Self { info, labels: Labels::single(CLASSES, (0..items).map(|item| item % CLASSES)), size }
    }
}

impl Images for Simulated {
    /// Stripes whose width follows the class and whose color follows the item.
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        let (stripe, color) = (1 + index % CLASSES, index / CLASSES);
        let pixels = (0..self.size * self.size * 3).map(|at| ((at / 3 / stripe % 2 + 1) * (color + at % 3)) as u8);
        Ok(Rgb { width: self.size, height: self.size, pixels: pixels.collect() })
    }
}

impl Dataset for Simulated {
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
        Ok("simulated")
    }
    fn split(&self, _: &str, split_seed: u64) -> Result<Split, DataError> {
        let items: Vec<u32> = (0..self.len() as u32).collect();
        let (query, database) = items.split_at(QUERIES);
        let train = database[..TRAIN.min(database.len())].to_vec();
        let roles = Roles { train, validation_query: None, query: query.to_vec(), database: database.to_vec() };
        roles.into_split(self.len(), split_seed)
    }
    fn found_at(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

// ---- the method -------------------------------------------------------------------------------------------------

/// Codes an item by its first features, less their mean over the training items.
struct Centered {
    bits: usize,
    mean: Option<Tensor>,
}

impl Definition for Centered {
    const INFO: MethodInfo = MethodInfo {
        name: "centered",
        title: "centered",
        paper: "none",
        supervision: Supervision::Unsupervised,
        needs: Needs::Any,
        augmented: false,
        seeded: false,
        revision: 1,
    };
    const SOURCE: &'static str = "";
    type Params = NoParams;
    fn build(_: NoParams, cx: &BuildContext) -> Result<Self> {
        Ok(Self { bits: cx.bits, mean: None })
    }
}

impl HashMethod for Centered {
    fn encode(&self, items: &Features, modality: Modality) -> Result<Tensor> {
        let (x, mean) = (items.get(modality)?, self.mean.as_ref().context("not fitted")?);
        let codes = x.broadcast_sub(mean)?.narrow(1, 0, self.bits)?;
        meter().encoded(x.dim(0)?)?;
        Ok(codes)
    }
    fn state(&self) -> Result<State> {
        Ok(State::new())
    }
    fn load_state(&mut self, _: &State) -> Result<()> {
        Ok(())
    }
}

impl Fitted for Centered {
    fn fit(&mut self, train: &TrainSet) -> Result<()> {
        meter().end("open")?;
        self.mean = Some(train.features.only()?.mean_keepdim(0)?);
        meter().end("fit")
    }
}

/// A shallow method has nothing to report.
struct Silent;

impl TrainObserver for Silent {
    fn epoch(&mut self, _: usize, _: &BTreeMap<String, f64>, _: f64) -> Result<()> {
        Ok(())
    }
    fn validation(&mut self, _: usize, _: f64) -> Result<()> {
        Ok(())
    }
    fn checkpoint(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn stopped(&self) -> bool {
        false
    }
}
