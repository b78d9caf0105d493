//! A data set of a user's own files, opened.

use std::path::{Path, PathBuf};

use hashlab_data::{
    ByModality, DataDirs, DataError, DataKind, Dataset, DatasetInfo, Images, ItemData, Labels, Modality, Rgb, Split,
    StoredFeatures, Texts,
};

use super::captions::Captions;
use super::digests::Digest;
use super::labels::{MOST_CLASSES, NamedLabels};
use super::settings::{OwnSettings, Unlabelled, Unreadable};
use super::split::{Recipe, Rule};
use crate::array::Array;

/// End of a finding about items that are left out.
const LEFT_OUT: &str = "; left out";

/// End of a finding about items whose labels no other item has.
const NAMES: &str = "; are the labels names or captions?";

/// Names shown in a message before the rest is counted.
const NAMED: usize = 3;

/// Images of a user, by the number of their item in the files.
pub(crate) trait Pictures: Images {
    /// Digests all images, and finds those that are missing or, with `decode`, cannot be decoded.
    ///
    /// # Errors
    /// If a file is there and cannot be read.
    fn examine(&mut self, decode: bool, notes: Option<&Path>) -> Result<Examined, DataError>;

    /// Where an item's image is, for messages.
    fn name(&self, index: usize) -> String;
}

/// What was found in images.
pub(crate) struct Examined {
    /// Digest of all of them.
    pub(crate) digest: Digest,
    /// Items without an image, ascending.
    pub(crate) missing: Vec<u32>,
    /// Items whose image cannot be decoded, ascending.
    pub(crate) undecodable: Vec<u32>,
}

/// Items as a reader lists them.
pub(crate) struct Listed {
    pub(crate) pictures: Option<Box<dyn Pictures>>,
    pub(crate) captions: Option<Captions>,
    pub(crate) labels: NamedLabels,
    /// Names of the classes instead of those of `labels`, where files hold them.
    pub(crate) class_names: Vec<String>,
    /// The protocols; the first is the default.
    pub(crate) recipes: Vec<Recipe>,
    pub(crate) found_at: Vec<PathBuf>,
    /// What else the reader found, a line each.
    pub(crate) findings: Vec<String>,
}

/// A data set of a user's own files.
pub(crate) struct Opened {
    info: DatasetInfo,
    labels: Labels,
    pictures: Option<Box<dyn Pictures>>,
    captions: Option<Captions>,
    /// Features of texts, such as bags of words, by listed item: in the place of captions.
    words: Option<Array>,
    /// The least number of captions of an item.
    captions_per_item: usize,
    /// The listed number of every item.
    kept: Vec<u32>,
    recipes: Vec<Recipe>,
    found_at: Vec<PathBuf>,
    findings: Vec<String>,
}

impl Opened {
    /// Leaves out what the settings say, and derives the identity.
    ///
    /// # Errors
    /// If items cannot be read or have no label where that is an error, or no item is left.
    pub(crate) fn of(listed: Listed, settings: &OwnSettings, dirs: &DataDirs) -> Result<Self, DataError> {
        let Listed { mut pictures, captions, labels, class_names, mut recipes, found_at, mut findings } = listed;
        let listed = labels.len();
        let examined = match &mut pictures {
            Some(pictures) => pictures.examine(settings.unreadable == Unreadable::Skip, dirs.notes.as_deref())?,
            None => Examined { digest: [0; 32], missing: Vec::new(), undecodable: Vec::new() },
        };
        let name = |item: u32| match &pictures {
            Some(pictures) => pictures.name(item as usize),
            None => format!("item {item}"),
        };
        let wordless = |item: &u32| captions.as_ref().is_some_and(|captions| captions.count(*item as usize) == 0);
        let unlabelled: Vec<u32> = (0..listed as u32).filter(|&item| labels.item(item as usize).is_empty()).collect();
        let wordless: Vec<u32> = (0..listed as u32).filter(wordless).collect();
        let skip = settings.unreadable == Unreadable::Skip;
        let mut out = vec![false; listed];
        for (items, what, skipped) in [
            (&examined.missing, "have no image", Some(skip)),
            (&examined.undecodable, "have an image that cannot be decoded", Some(skip)),
            (&wordless, "have no caption", Some(skip)),
            (&unlabelled, "have no label", unlabelled_policy(settings.unlabelled)),
        ] {
            if items.is_empty() {
                continue;
            }
            let told = format!("{} of {listed} items {what}: {}", items.len(), some(items, name));
            match skipped {
                Some(false) => return Err(DataError::Invalid(format!("{told}\nhelp: {}", help(what)))),
                Some(true) => {
                    items.iter().for_each(|&item| out[item as usize] = true);
                    findings.push(format!("{told}{LEFT_OUT}"));
                }
                None => findings.push(format!("{told}; kept, but never a query")),
            }
        }
        let kept: Vec<u32> = (0..listed as u32).filter(|&item| !out[item as usize]).collect();
        check_classes(labels.classes())?;
        let (all, names) = labels.finish();
        let labels = match kept.len() == listed {
            true => all,
            false => Labels::multi(all.classes(), kept.iter().map(|&item| all.classes_of(item as usize))),
        };
        check_labels(&labels)?;
        let alone = items_alone(&labels);
        if 2 * alone >= labels.len() {
            findings.push(format!("{alone} of {} items share no label with another{NAMES}", labels.len()));
        }
        let captions_per_item =
            captions.as_ref().and_then(|captions| kept.iter().map(|&item| captions.count(item as usize)).min());
        for recipe in &mut recipes {
            if let Rule::Given(given) = &mut recipe.rule {
                let to = |item: u32| kept.binary_search(&item).ok().map(|at| at as u32);
                *given = given.map(to, |item| labels.item(item as usize).iter().any(|word| *word != 0));
            }
        }
        let mut opened = Self {
            info: DatasetInfo {
                identity: String::new(),
                modalities: ByModality::default(),
                classes: if class_names.is_empty() { names } else { class_names },
                protocols: recipes.iter().map(|recipe| recipe.protocol.clone()).collect(),
            },
            labels,
            pictures,
            captions,
            words: None,
            captions_per_item: captions_per_item.unwrap_or(0),
            kept,
            recipes,
            found_at,
            findings,
        };
        opened.complete(&examined.digest);
        Ok(opened)
    }

    /// Gives the listed items `features` of texts.
    pub(crate) fn with_text_features(mut self, features: Array) -> Self {
        self.info.modalities.insert(Modality::Text, DataKind::Features);
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.info.identity.as_bytes());
        features.hash(&mut hasher);
        self.info.identity = hasher.finalize().to_hex().to_string();
        self.words = Some(features);
        self
    }

    /// Fills in what follows from the items.
    fn complete(&mut self, pictures: &Digest) {
        if self.pictures.is_some() {
            self.info.modalities.insert(Modality::Image, DataKind::Pixels);
        }
        if self.captions.is_some() {
            self.info.modalities.insert(Modality::Text, DataKind::Texts);
        }
        self.info.identity = self.identity(pictures);
        let mut counts = vec![format!("{} items in {} classes", self.kept.len(), self.labels.classes())];
        if let Some(captions) = &self.captions {
            let most = self.kept.iter().map(|&item| captions.count(item as usize)).max().unwrap_or(0);
            counts.push(match self.captions_per_item {
                1 if most == 1 => "1 caption per item".to_owned(),
                least if least == most => format!("{least} captions per item"),
                least => format!("{least} to {most} captions per item, of which the first {least} are used"),
            });
        }
        self.findings.insert(0, counts.join(", "));
    }

    /// Digests images, labels, captions and given roles.
    fn identity(&self, pictures: &Digest) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(pictures);
        for (at, item) in self.kept.iter().enumerate() {
            hasher.update(&item.to_le_bytes());
            for word in self.labels.item(at) {
                hasher.update(&word.to_le_bytes());
            }
            for caption in 0..self.captions_per_item {
                let text = self.caption(at, caption);
                hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
            }
        }
        for recipe in &self.recipes {
            if let Rule::Given(given) = &recipe.rule {
                given.hash(&mut hasher);
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// An error of the split with what was left out before, which the counts in its message lack.
    fn with_left_out(&self, error: DataError) -> DataError {
        let out: Vec<&str> = self.findings.iter().filter_map(|finding| finding.strip_suffix(LEFT_OUT)).collect();
        match error {
            DataError::Invalid(message) if !out.is_empty() => {
                let (first, help) = message.split_once('\n').unwrap_or((&message, "help: correct the items in [data]"));
                DataError::Invalid(format!("{first}; left out before: {}\n{help}", out.join("; ")))
            }
            error => error,
        }
    }

    fn caption(&self, index: usize, caption: usize) -> &str {
        self.captions.as_ref().map_or("", |captions| captions.get(self.kept[index] as usize, caption))
    }
}

/// Whether items without a label are left out; `None` if they are kept.
fn unlabelled_policy(unlabelled: Unlabelled) -> Option<bool> {
    match unlabelled {
        Unlabelled::Keep => None,
        Unlabelled::Skip => Some(true),
        Unlabelled::Fail => Some(false),
    }
}

/// Advice for items that cannot be read; public sets are complete, and have no policy for them.
const UNREADABLE: &str = "correct the paths or add what is missing; `image_folder`, `image_list`, `table` and `parquet` can \
                          leave such items out: `unreadable = \"skip\"` in [data]";

fn help(what: &str) -> &'static str {
    match what {
        "have no label" => "correct the labels, or set `unlabelled = \"keep\"` or `\"skip\"` in [data]",
        _ => UNREADABLE,
    }
}

/// The first of some items, by name.
fn some(items: &[u32], name: impl Fn(u32) -> String) -> String {
    let named: Vec<String> = items.iter().take(NAMED).map(|&item| name(item)).collect();
    named.join(", ") + if items.len() > NAMED { ", …" } else { "" }
}

/// Number of items with labels of which no other item has one.
fn items_alone(labels: &Labels) -> usize {
    let mut sizes = vec![0_usize; labels.classes()];
    for item in 0..labels.len() {
        labels.classes_of(item).iter().for_each(|&class| sizes[class] += 1);
    }
    let alone = |classes: Vec<usize>| !classes.is_empty() && classes.iter().all(|&class| sizes[class] == 1);
    (0..labels.len()).filter(|&item| alone(labels.classes_of(item))).count()
}

fn check_labels(labels: &Labels) -> Result<(), DataError> {
    let items = labels.len();
    let problem = if items == 0 {
        "there is no item\nhelp: `hashlab datasets check FILE` says what was found".to_owned()
    } else if (0..items).all(|item| labels.item(item).iter().all(|word| *word == 0)) {
        "no item has a label, by which results are measured\nhelp: name the label columns in [data], or use folders of classes"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(DataError::Invalid(problem))
}

/// Refuses more classes than the bits of all items have room for.
fn check_classes(classes: usize) -> Result<(), DataError> {
    if classes <= MOST_CLASSES {
        return Ok(());
    }
    let problem = format!("{classes} classes, of at most {MOST_CLASSES}\nhelp: name another label column in [data]");
    Err(DataError::Invalid(problem))
}

impl Dataset for Opened {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        match modality {
            Modality::Image => self.pictures.as_ref().map(|_| ItemData::Images(self)),
            Modality::Text if self.words.is_some() => Some(ItemData::Features(self)),
            Modality::Text => self.captions.as_ref().map(|_| ItemData::Texts(self)),
            _ => None,
        }
    }

    fn digest(&self) -> Result<&str, DataError> {
        Ok(&self.info.identity)
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        self.info.protocol(protocol)?;
        let recipe = self.recipes.iter().find(|recipe| recipe.protocol.name == protocol);
        let split = recipe.expect("a protocol each").split(&self.labels, &self.info.classes, split_seed);
        split.map_err(|error| self.with_left_out(error))
    }

    fn found_at(&self) -> Vec<PathBuf> {
        self.found_at.clone()
    }

    fn findings(&self) -> Vec<String> {
        self.findings.clone()
    }

    fn warnings(&self) -> Vec<String> {
        self.findings.iter().filter(|line| line.ends_with(LEFT_OUT) || line.ends_with(NAMES)).cloned().collect()
    }
}

impl Images for Opened {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        self.pictures.as_ref().expect("asked of data sets with images").image(self.kept[index] as usize)
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, DataError> {
        self.pictures.as_ref().expect("asked of data sets with images").encoded(self.kept[index] as usize)
    }
}

impl StoredFeatures for Opened {
    fn dim(&self) -> usize {
        self.words.as_ref().map_or(0, Array::width)
    }

    fn views(&self) -> usize {
        self.words.as_ref().map_or(0, Array::count)
    }

    fn read(&self, items: &[u32], view: usize, out: &mut [f32]) -> Result<(), DataError> {
        let words = self.words.as_ref().expect("asked of data sets with features of texts");
        for (&item, row) in items.iter().zip(out.chunks_exact_mut(words.width())) {
            row.copy_from_slice(words.row(self.kept[item as usize] as usize, view));
        }
        Ok(())
    }
}

impl Texts for Opened {
    fn captions(&self) -> usize {
        self.captions_per_item
    }

    fn text(&self, index: usize, caption: usize) -> Result<String, DataError> {
        Ok(self.caption(index, caption).to_owned())
    }
}
