//! MIRFlickr-25k: photos of Flickr with tags and annotations.
//!
//! Huiskes and Lew: The MIR Flickr retrieval evaluation (MIR 2008). Papers use three selections, each with files of its own:
//! 20,015 items with common tags in the lists of DarrenZZhang/MM23-MITH, 24,581 items with an annotation in the order of
//! kalenforn/DCHMT (numbers as strings: 1, 10, 100, …) from the authors' files, and all 25,000 without tags in the lists of
//! swuxyj/DeepHash-pytorch.

mod annotated;

use hashlab_data::{DataDirs, DataError, Dataset, DatasetSource, DatasetSummary};
use hashlab_settings::Params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::own::Opened;
use crate::own::lists::ListSet;
use crate::own::mith::MithSet;
use crate::own::public::{dchmt, drawn, given, share};
use crate::own::split::Recipe;

const NAME: &str = "mirflickr";
const HELP: &str = "unpack mirflickr25k.zip (3,069.2 MB) and mirflickr25k_annotations_v080.zip (into a folder of that name) of \
                    https://press.liacs.nl/mirflickr into the folder `mirflickr` of a data directory; for `items = \"20015\"` put \
                    all_imgs.txt, all_tags.txt and all_labels.txt of `dataset/flickr25k` of \
                    https://github.com/DarrenZZhang/MM23-MITH beside them";

const LISTS: ListSet = ListSet {
    set: NAME,
    folders: &["lists"],
    prefix: "",
    sizes: [Some(1_000), Some(4_000), Some(20_000)],
    protocol: ("deephash", "1,000 queries, 4,000 train, database the other 20,000 (DeepHash-pytorch's lists)", None),
    help: "put train.txt, test.txt and database.txt of `data/mirflickr` of https://github.com/swuxyj/DeepHash-pytorch into the \
           folder `mirflickr` of a data directory, beside the images of mirflickr25k.zip",
};

const TAGGED: MithSet = MithSet { set: NAME, folder: "flickr25k", items: 20_015, classes: 24, help: HELP };

/// The selection of items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Items {
    /// Those with common tags, as DCMH, MITH and UCMFH use them.
    #[default]
    #[serde(rename = "20015")]
    Of20015,
    /// Those with at least one of 24 annotations, as DCHMT uses them.
    #[serde(rename = "24581")]
    Of24581,
    /// All, in three lists with 38 labels, as DeepHash-pytorch uses them; they have no tags.
    #[serde(rename = "25000")]
    Of25000,
}

/// Settings of `mirflickr`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The items: `20015` (common tags, 24 labels), `24581` (at least one annotation), or `25000` (DeepHash-pytorch's lists, 38 labels, no tags).
    pub items: Items,
    /// Whether the 14 annotations of what an image is relevant for (`_r1`) are labels, too: 38 instead of 24. For items `24581`.
    pub relevant: bool,
}

impl Params for Settings {
    fn inactive(&self) -> Vec<&'static str> {
        if self.items == Items::Of24581 { Vec::new() } else { vec!["relevant"] }
    }
}

/// MIRFlickr-25k, or files of a `PART`-th of its images.
pub struct Mirflickr<const PART: usize = 1>;

impl<const PART: usize> DatasetSource for Mirflickr<PART> {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "MIRFlickr-25k",
        description: "25,000 photos of Flickr with tags, 24 or 38 labels",
        source: "https://press.liacs.nl/mirflickr",
        license: "Creative Commons; each image's license is in meta/license",
        citation: "M. J. Huiskes, M. S. Lew: The MIR Flickr retrieval evaluation. ACM MIR 2008",
    };
    type Settings = Settings;

    fn open(settings: &Settings, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(settings, dirs, PART)?))
    }
}

fn load(settings: &Settings, dirs: &DataDirs, part: usize) -> Result<Opened, DataError> {
    match settings.items {
        Items::Of20015 => TAGGED.open(tagged_recipes(part), dirs, part),
        Items::Of24581 => annotated::load(settings.relevant, dirs, share(24_581, part), part),
        Items::Of25000 => LISTS.open(dirs, part),
    }
}

/// The protocols of the items with common tags.
fn tagged_recipes(part: usize) -> Vec<Recipe> {
    let shares = |numbers: [usize; 2]| numbers.map(|number| share(number, part));
    vec![
        drawn(
            "unsupervised",
            "2,000 queries and 5,000 train drawn by split_seed, database all but the queries (the sizes of DJSRH, CIRH and UCMFH)",
            Some(50),
            shares([2_000, 5_000]),
        ),
        drawn(
            "mith",
            "2,000 queries and 10,000 train drawn by split_seed, database all but the queries (the sizes of DCMH and MITH)",
            None,
            shares([2_000, 10_000]),
        ),
    ]
}

/// The protocols of the items with annotations.
fn annotated_recipes(items: usize, part: usize) -> Vec<Recipe> {
    let shares = |numbers: [usize; 2]| numbers.map(|number| share(number, part));
    vec![
        given(
            "dchmt",
            "5,120 queries, 10,240 train, database all but the queries, drawn as DCHMT's code draws (numpy, seed 1814), so split_seed orders the database alone",
            None,
            dchmt(items, shares([5_120, 10_240])),
        ),
        given(
            "toolkit",
            "5,000 queries, 10,000 train, database all but the queries, drawn in the same way (the sizes of later CLIP toolkits)",
            None,
            dchmt(items, shares([5_000, 10_000])),
        ),
        drawn(
            "unsupervised",
            "2,000 queries and 5,000 train drawn by split_seed, database all but the queries",
            Some(50),
            shares([2_000, 5_000]),
        ),
    ]
}
