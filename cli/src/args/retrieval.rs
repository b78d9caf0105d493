//! Arguments of commands that search collections of images and texts.

use std::path::PathBuf;

use clap::ValueEnum;

use super::DeviceArgs;
use super::runs::TextOrJson;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hashlab index cibhash-b64-s0-0f3a5c7e9b12 photos --out photos.index\n  \
                        hashlab index products --texts captions.txt --out captions.index")]
pub(crate) struct IndexArgs {
    /// Run whose model encodes the items, or a sweep that kept one model
    #[arg(value_name = "RUN|SWEEP")]
    pub(crate) run: String,
    /// Images, or folders of images, which are searched at every depth
    #[arg(required_unless_present = "texts", conflicts_with = "texts")]
    pub(crate) images: Vec<PathBuf>,
    /// File with a text per line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) texts: Option<PathBuf>,
    /// Folder of the index, new or of the same model
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What to do with files that are no readable image
    #[arg(long, value_enum, default_value_t)]
    pub(crate) unreadable: Unreadable,
    /// What to do with the EXIF orientation of images; queries are treated like the images of their index
    #[arg(long, value_enum, default_value_t, conflicts_with = "texts")]
    pub(crate) exif: Orientation,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

/// What is done with files that are no readable image.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unreadable {
    /// Leave them out, and name and count them
    #[default]
    Skip,
    /// End at the first one
    Fail,
}

/// What is done with the EXIF orientation of images.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Orientation {
    /// Encode images as they are stored, as data sets do by default
    #[default]
    Ignore,
    /// Turn images upright, and count them
    Apply,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  hashlab search photos.index --text \"red leather handbag\" --top 10\n  \
                        hashlab search photos.index --image bag.jpg --html bags.html")]
pub(crate) struct SearchArgs {
    /// Folder of an index
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) query: QueryArgs,
    /// Number of results
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) top: std::num::NonZero<usize>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: TextOrJson,
    /// Write the results as a page with the pictures, too
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

/// What is searched for.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct QueryArgs {
    /// Text to search for
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Image to search for
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  hashlab serve photos.index --open")]
pub(crate) struct ServeArgs {
    /// Folder of an index
    pub(crate) index: PathBuf,
    /// Port on this machine's loopback interface; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8750)]
    pub(crate) port: u16,
    /// Number of results
    #[arg(long, value_name = "N", default_value = "24")]
    pub(crate) top: std::num::NonZero<usize>,
    /// Open the page in the browser
    #[arg(long)]
    pub(crate) open: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}
