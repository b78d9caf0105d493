//! The JSON Schema of experiment files: it accepts every file of `experiments/`, and refuses what `load` refuses.

use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use hashlab::Registry;
use hashlab_data::DataDirs;
use hashlab_sweep::json_schema;
use serde_json::Value;

struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn new() -> Self {
        let registry = Registry {
            methods: hashlab_methods::METHODS,
            datasets: hashlab_datasets::DATASETS,
            encoders: hashlab_encoders::ENCODERS,
            published: &[],
        };
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let schema = json_schema(&registry.catalog(&DataDirs::of(Vec::new())));
        compiler.add_resource("experiment.schema.json", schema).unwrap();
        let index =
            compiler.compile("experiment.schema.json", &mut schemas).unwrap_or_else(|wrong| panic!("{wrong:#}"));
        Self { schemas, index }
    }

    /// What the schema has against a file.
    fn objection(&self, text: &str) -> Option<String> {
        let value: Value = toml::from_str(text).unwrap();
        self.schemas.validate(&value, self.index).err().map(|wrong| wrong.to_string())
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_experiment_of_the_repository_satisfies_the_schema() {
    let schema = Schema::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    let files = files(&folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let mut checked = 0;
    for path in files {
        let objection = schema.objection(&fs::read_to_string(&path).unwrap());
        assert_eq!(objection, None, "{}", path.display());
        checked += 1;
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn mistakes_are_found() {
    let schema = Schema::new();
    let sound = "dataset = \"shapes\"\nbits = [16]\n[data]\nitems = 300\n[train]\nepochs = 5\n[[method]]\nname = \"cibhash\"\n\
                 params = { tau = 0.3 }\ngrid = { beta = [0.1], \"train.epochs\" = [1, 2], image = { views = [2] } }\n\
                 zip = [{ \"train.batch_size\" = [32, 64], \"train.learning_rate\" = [1e-3, 1e-4] }]\n\
                 when = { beta = { \"train.epochs\" = 1 } }\nexclude = [{ beta = 0.1, bits = 16 }]\n";
    assert_eq!(schema.objection(sound), None);
    let changes = [
        ("shapes", "shaps"),
        ("[16]", "16"),
        ("items", "itms"),
        ("epochs = 5", "epochs = 0"),
        ("epochs = 5", "epochs = \"5\""),
        ("\"cibhash\"", "\"cibhsh\""),
        ("tau = 0.3", "tua = 0.3"),
        ("beta = [0.1]", "beta = 0.1"),
        ("beta = [0.1]", "bta = [0.1]"),
        ("views = [2]", "vews = [2]"),
        ("[32, 64]", "[32, \"x\"]"),
        ("exclude", "exlude"),
        ("[train]", "[trian]"),
    ];
    for (good, bad) in changes {
        let wrong = sound.replacen(good, bad, 1);
        assert!(schema.objection(&wrong).is_some(), "accepts {bad:?}");
    }
}
