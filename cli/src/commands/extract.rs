//! Extraction of features in this process, with its progress on standard error.

use std::time::{Duration, Instant};

use anyhow::Result;
use hashlab_cache::Progress;
use hashlab_exec::progress::Terminal;
use hashlab_method::MethodEntry;
use hashlab_pipeline::run::{self, RunFeatures};
use hashlab_pipeline::{OnProgress, RunEnvironment};
use hashlab_store::RunConfig;
use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines about the same features.
const INTERVAL: Duration = Duration::from_secs(10);

/// Opens every feature that a run needs; shows progress with those that the cache lacks.
///
/// # Errors
/// If images, weights or the cache cannot be read or written.
pub(super) fn extract<'a>(
    config: &RunConfig,
    method: &MethodEntry,
    environment: &RunEnvironment<'a>,
) -> Result<RunFeatures<'a>> {
    Shown::new().during(|progress| run::features_of(config, method, environment, progress))
}

/// How progress is shown: by a bar on a terminal that can redraw it, by lines elsewhere.
pub(super) enum Shown {
    Bar(ProgressBar),
    Lines {
        /// The features of the last line.
        name: String,
        /// When it was written.
        at: Instant,
    },
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:24} {bar:30} {pos} of {len} items, {eta} left");
    ProgressBar::new(0).with_style(style.expect("the template is well-formed"))
}

impl Shown {
    /// A bar, or lines.
    pub(super) fn new() -> Self {
        if Terminal::stderr().bars { Self::Bar(bar()) } else { Self::Lines { name: String::new(), at: Instant::now() } }
    }

    /// Shows the progress of `work`.
    ///
    /// # Errors
    /// Those of `work`.
    pub(super) fn during<T>(mut self, work: impl FnOnce(OnProgress<'_>) -> Result<T>) -> Result<T> {
        let done = work(&mut |name: &str, at: Progress| {
            self.update(name, at);
            Ok(())
        })?;
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
        Ok(done)
    }

    fn update(&mut self, name: &str, progress: Progress) {
        let (Progress::Waiting { done, total } | Progress::Extracting { done, total }) = progress;
        match self {
            Self::Bar(bar) => {
                if bar.message() != name {
                    bar.reset();
                    bar.set_message(name.to_owned());
                }
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            }
            Self::Lines { name: last, at } => {
                if last != name || at.elapsed() >= INTERVAL {
                    use std::io::Write as _;
                    let _ = writeln!(std::io::stderr(), "{name}: {done} of {total} items");
                    (*last, *at) = (name.to_owned(), Instant::now());
                }
            }
        }
    }
}
