//! Facts beyond the settings: files of encoder sections, and the requirements of methods.

use std::path::Path;
use std::sync::{Arc, Mutex};

use hashlab_data::{EncoderFacts, Modality};
use hashlab_settings::Violations;
use hashlab_sweep::{Catalog, Overrides, load};

use crate::catalog::catalog;

/// Encoders of 8 features whose weights must not be called `lost`. `waves` draws two views, `prism` makes no more bits
/// than there are features. Returns the inspected sections, too.
fn knowing() -> (Catalog, Arc<Mutex<Vec<String>>>) {
    let mut catalog = catalog();
    let looked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&looked);
    catalog.inspect = Arc::new(move |modality, section| {
        log.lock().unwrap().push(format!("{modality} {}", section["weights"]));
        if section["weights"] == "lost" {
            return Err(Violations::one(["weights", "encoder"], "`lost` was not found\nhelp: look for it"));
        }
        let views = section["views"].as_u64().map(|views| views as usize);
        Ok(EncoderFacts { dim: Some(8), views })
    });
    for method in &mut catalog.methods {
        match method.name.as_str() {
            "waves" => method.check = Arc::new(|_, run| run.draws_views(2)),
            "prism" => {
                method.check = Arc::new(|_, run| {
                    let dim = run.dims.get(Modality::Image).copied().unwrap_or(usize::MAX);
                    Violations::none().require(run.bits <= dim, ["bits"], format!("{} bits of {dim}", run.bits))
                });
            }
            _ => {}
        }
    }
    (catalog, looked)
}

const FILE: &str = r#"dataset = "toy"
bits = [4, 16, 32]

[image]
weights = "w"
views = 1

[[method]]
name = "waves"
grid = { "image.views" = [2, 1, 3], "train.epochs" = [20, 30] }

[[method]]
name = "prism"

[[method]]
name = "prism"
label = "lost"
image = { weights = "lost" }
"#;

#[test]
fn everything_that_is_known_is_said_at_once_at_its_place() {
    let (catalog, looked) = knowing();
    let wrong = load(FILE, Path::new("toy.toml"), &catalog, &Overrides::default()).err().expect("it cannot work");
    let said: Vec<(&str, &[String])> = wrong.iter().map(|one| (one.message.as_str(), &one.help[..])).collect();
    let views = "the method draws 2 views of every image in a step, and 1 is stored";
    let expected: [(&str, &[String]); 4] = [
        ("16 bits of 8", &[]),
        ("32 bits of 8", &[]),
        (views, &["raise `views` to at least 2".to_owned()]),
        ("`lost` was not found", &["look for it".to_owned()]),
    ];
    assert_eq!(said, expected);
    let text = wrong.to_string();
    for place in ["toy.toml:2:8", "toy.toml:10:30", "toy.toml:18:21"] {
        assert!(text.contains(place), "{place} in {text}");
    }
    let mut looked = looked.lock().unwrap().clone();
    looked.sort();
    assert_eq!(looked.iter().filter(|section| section.contains("lost")).count(), 1, "{looked:?}");
    assert_eq!(looked.len(), 4, "each different section once: three numbers of views, and what is lost");
}

#[test]
fn what_works_is_planned() {
    let (catalog, _) = knowing();
    let file = FILE.replace("bits = [4, 16, 32]", "bits = [4, 8]").replace("[2, 1, 3]", "[2, 3]").replace("lost", "w");
    load(&file, Path::new("toy.toml"), &catalog, &Overrides::default()).unwrap_or_else(|wrong| panic!("{wrong}"));
}
