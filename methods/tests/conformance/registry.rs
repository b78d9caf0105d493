//! Registrations of methods: name, hyperparameters, source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use hashlab_method::{AnyMethod, BuildContext, RunFacts};
use hashlab_methods::METHODS;

use crate::{build, context};

/// The sources of the crate, by module.
fn sources() -> BTreeMap<String, String> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let source =
        |path: PathBuf| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap());
    fs::read_dir(folder).unwrap().map(|entry| source(entry.unwrap().path())).collect()
}

#[test]
fn names_are_unique_and_snake_case() {
    let names: BTreeSet<&str> = METHODS.iter().map(|m| m.info.name).collect();
    assert_eq!(names.len(), METHODS.len());
    for name in names {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
    }
}

#[test]
fn every_method_file_is_registered() {
    let sources = sources();
    let lib = &sources["lib"];
    let mut methods = 0;
    for module in sources.iter().filter(|(_, text)| text.contains("impl Definition for")).map(|(module, _)| module) {
        methods += 1;
        assert!(lib.contains(&format!("pub mod {module};")), "{module} is not a module of the crate");
        let registered = ["fitted", "trained", "stackable"]
            .iter()
            .any(|by| lib.contains(&format!("MethodEntry::{by}::<{module}::")));
        assert!(registered, "{module} is not in METHODS");
    }
    assert_eq!(methods, METHODS.len());
}

/// A plan rejects exactly the configurations that cannot be built, in the same words.
#[test]
fn what_a_plan_refuses_for_its_features_cannot_be_built() {
    let mut refused = Vec::new();
    for method in METHODS {
        let cx = context(method, 0);
        for bits in [cx.bits, 1024] {
            let cx = BuildContext { bits, ..cx.clone() };
            let facts = RunFacts { bits, dims: cx.dims.clone(), ..RunFacts::default() };
            let found = method.check(&method.schema().defaults, &facts).to_string();
            let built = method.build(&method.schema().defaults, &cx).err().map(|error| error.to_string());
            assert_eq!(found, built.clone().unwrap_or_default(), "{}", method.info.name);
            refused.extend(built.map(|_| method.info.name));
        }
    }
    assert!(refused.contains(&"itq") && refused.contains(&"pcah"), "{refused:?}");
}

/// Whether a source file uses a module of the crate; uses by its tests do not count.
fn uses(text: &str, module: &str) -> bool {
    [format!("\nuse crate::{module}::"), format!("\nuse crate::{module};")].iter().any(|line| text.contains(line))
}

/// Results of different sources are distinguished by the digest of the source, which must cover the method and all
/// modules that it uses.
#[test]
fn a_source_begins_with_the_methods_own_file_and_holds_every_module_that_it_uses() {
    let sources = sources();
    for method in METHODS {
        let (name, source) = (method.info.name, method.source());
        let own = sources.get(name).unwrap_or_else(|| panic!("`{name}` has no file of its name"));
        assert!(source.starts_with(own), "{name}: the source does not begin with {name}.rs");
        for (part, text) in sources.iter().filter(|(_, text)| source.contains(text.as_str())) {
            for (module, text) in sources.iter().filter(|(module, _)| uses(text, module)) {
                assert!(source.contains(text), "{name}: {part} computes with {module}, which the source lacks");
            }
        }
    }
}

#[test]
fn digests_of_sources_differ_between_methods() {
    let digests: BTreeSet<String> = METHODS.iter().map(|method| method.source_digest()).collect();
    assert_eq!(digests.len(), METHODS.len());
}

#[test]
fn every_published_method_is_the_title_of_a_registered_one() {
    let published = include_str!("../../published.toml");
    let titles: Vec<&str> = published.lines().filter_map(|line| line.strip_prefix("method = ")).collect();
    assert!(!titles.is_empty());
    for title in titles {
        assert!(METHODS.iter().any(|method| format!("{:?}", method.info.title) == title), "{title}");
    }
}

#[test]
fn hyperparameters_have_checked_and_documented_defaults() {
    for method in METHODS {
        let (schema, name) = (method.schema(), method.info.name);
        let broken = schema.check(&schema.defaults);
        assert!(broken.is_empty(), "{name}: {broken}");
        for key in schema.defaults.keys() {
            assert!(schema.docs.get(key).is_some_and(|doc| doc.len() > 10), "{name}: `{key}` is not documented");
        }
        let mut unknown = schema.defaults.clone();
        unknown.insert("no_such_key".into(), 1.into());
        assert!(!schema.check(&unknown).is_empty(), "{name}");
        assert!(method.build(&unknown, &context(method, 0)).is_err(), "{name}");
    }
}

#[test]
fn views_have_the_asked_size_and_are_as_random_as_declared() {
    for method in METHODS {
        let AnyMethod::Trained(built) = build(method, 0) else { continue };
        let views = built.batch_spec().views;
        assert!(!views.is_empty(), "{}", method.info.name);
        for view in views {
            let hashlab_method::ViewSpec::Image(make) = view else { continue };
            for size in [32, 224] {
                let transform = make(size);
                let found = (transform.size(), transform.is_random());
                assert_eq!(found, (size, method.info.augmented), "{}: {transform}", method.info.name);
            }
        }
    }
}
