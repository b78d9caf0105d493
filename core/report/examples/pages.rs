//! Writes pages of made-up sweeps into a directory, for the tests in a browser.

use std::path::PathBuf;

use hashlab_report::page;

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/report/left.rs"]
mod left;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/report/sweep.rs"]
mod sweep;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("name a directory")?);
    std::fs::create_dir_all(&directory)?;
    for (name, (report, details)) in [("everything", left::everything()), ("thousand", left::thousand())] {
        let html = page(&report, &sweep::published(), &details)?;
        std::fs::write(directory.join(format!("{name}.html")), html)?;
    }
    Ok(())
}
