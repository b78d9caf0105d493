//! Extraction of features in this process, with its progress on standard error.

use std::time::{Duration, Instant};

use anyhow::Result;
use hashlab_cache::Progress;
use hashlab_exec::progress::Terminal;
use hashlab_method::MethodEntry;
use hashlab_pipeline::RunEnvironment;
use hashlab_pipeline::run::{self, RunFeatures};
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
    let mut shown = if Terminal::stderr().bars {
        Shown::Bar(bar())
    } else {
        Shown::Lines { name: String::new(), at: Instant::now() }
    };
    let mut progress = |name: &str, at: Progress| {
        shown.update(name, at);
        Ok(())
    };
    let needs = run::features_of(config, method, environment, &mut progress)?;
    if let Shown::Bar(bar) = shown {
        bar.finish_and_clear();
    }
    Ok(needs)
}

/// How progress is shown: by a bar on a terminal that can redraw it, by lines elsewhere.
enum Shown {
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
