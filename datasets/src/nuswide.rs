//! NUS-WIDE: photos of Flickr with tags, and labels of 81 concepts.
//!
//! Chua et al.: NUS-WIDE (CIVR 2009). From the authors' files come the items with at least one of the 10 or 21 most frequent
//! concepts, or of all 81, in the order of the image list; their captions are their tags. The lists of other papers are read,
//! too: HashNet's (DeepHash-pytorch's) of 21 and 81 concepts, without tags, and MITH's of 21.

mod official;

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_settings::Params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::own::Opened;
use crate::own::lists::ListSet;
use crate::own::mith::MithSet;
use crate::own::public::{drawn, share};
use crate::own::split::Recipe;

const NAME: &str = "nuswide";
const HELP: &str = "unpack NUS-WIDE.zip (Groundtruth/, ConceptsList/), NUS_WID_Tags.zip and the image list (Imagelist.txt) of \
                    https://github.com/NExTplusplus/NUS-WIDE into the folder `nuswide` of a data directory, and the images, which \
                    its authors send on request, into images/ below it";
const LISTS_HELP: &str = "put train.txt, test.txt and database.txt of `data/nuswide_21` or `data/nuswide_81` of \
                          https://github.com/swuxyj/DeepHash-pytorch into a folder of that name in the folder `nuswide` of a data \
                          directory, and the images into images/ beside it";
const MITH_HELP: &str = "put all_imgs.txt, all_tags.txt and all_labels.txt of `dataset/nuswide` of \
                         https://github.com/DarrenZZhang/MM23-MITH into the folder `nuswide` of a data directory, beside the images";

const LISTS_21: ListSet = ListSet {
    set: NAME,
    folders: &["nuswide_21"],
    prefix: "",
    sizes: [Some(2_100), Some(10_500), None],
    protocol: (
        "hashnet",
        "2,100 queries, 10,500 train, database the list (DeepHash-pytorch's lists of 21 concepts)",
        Some(5000),
    ),
    help: LISTS_HELP,
};

const LISTS_81: ListSet = ListSet {
    set: NAME,
    folders: &["nuswide_81"],
    prefix: "",
    sizes: [Some(5_000), Some(10_000), None],
    protocol: (
        "hashnet",
        "5,000 queries, 10,000 train, database the list (HashNet's lists of 81 concepts)",
        Some(5000),
    ),
    help: LISTS_HELP,
};

const MITH: MithSet = MithSet { set: NAME, folder: "mith", items: 190_421, classes: 21, help: MITH_HELP };

/// The labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Concepts {
    /// The ten most frequent concepts.
    #[serde(rename = "10")]
    Of10,
    /// The 21 most frequent concepts.
    #[default]
    #[serde(rename = "21")]
    Of21,
    /// All 81 concepts.
    #[serde(rename = "81")]
    Of81,
}

/// Where items and splits come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Files {
    /// The authors' files: labels of all items and tags.
    #[default]
    Official,
    /// HashNet's lists.
    Lists,
    /// MITH's three files of 190,421 items, 21 concepts and tags.
    Mith,
}

/// Settings of `nuswide`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The labels: the `10` or `21` most frequent concepts, or all `81`.
    pub concepts: Concepts,
    /// Items and splits: those of the authors' files (`official`), of HashNet's lists without tags (`lists`, 21 or 81 concepts), or of MITH's files (`mith`, 21 concepts).
    pub files: Files,
}

impl Params for Settings {
    fn check(&self) -> hashlab_settings::Violations {
        let fits = match self.files {
            Files::Official => true,
            Files::Lists => self.concepts != Concepts::Of10,
            Files::Mith => self.concepts == Concepts::Of21,
        };
        hashlab_settings::Violations::none().require(
            fits,
            ["concepts", "files"],
            "lists are published of 21 and 81 concepts, MITH's files of 21",
        )
    }
}

/// NUS-WIDE, or files of a `PART`-th of its images.
pub struct NusWide<const PART: usize = 1>;

impl<const PART: usize> DatasetSource for NusWide<PART> {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "NUS-WIDE",
        description: "269,648 photos of Flickr with tags; labels of 10, 21 or 81 concepts",
        source: "https://github.com/NExTplusplus/NUS-WIDE; images from its authors on request",
        license: "images after a signed agreement with the authors",
        citation: "T.-S. Chua et al.: NUS-WIDE: A real-world web image database from National University of Singapore. ACM CIVR 2009",
    };
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(settings, dirs, PART)?))
    }
}

fn load(settings: &Settings, dirs: &DataDirs, part: usize) -> Result<Opened, DataError> {
    match (settings.files, settings.concepts) {
        (Files::Official, concepts) => official::load(concepts, dirs, official::IMAGES, part),
        (Files::Lists, Concepts::Of81) => LISTS_81.open(dirs, part),
        (Files::Lists, _) => LISTS_21.open(dirs, part),
        (Files::Mith, _) => MITH.open(vec![mith_recipe(part)], dirs, part),
    }
}

/// The protocol of MITH's files.
fn mith_recipe(part: usize) -> Recipe {
    drawn(
        "mith",
        "2,100 queries and 10,500 train drawn by split_seed, database all but the queries (MITH's sizes)",
        None,
        [2_100, 10_500].map(|number| share(number, part)),
    )
}
