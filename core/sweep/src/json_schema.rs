//! JSON Schema of experiment files, for editors, from the types of the sections.

use serde_json::{Map, Value, json};

use hashlab_data::Modality;
use hashlab_settings::Schema;

use crate::catalog::{Catalog, MethodDecl};
use crate::range::whole_numbers;
use crate::scope::{general, pruning};
use crate::section::Section;

/// Renders the schema of every experiment file that a catalog allows: draft 2020-12, with documentation and defaults.
/// Rules between keys are not in it; `hashlab lint` checks them.
pub fn json_schema(catalog: &Catalog) -> Value {
    let mut definitions = Definitions(Map::new());
    let mut top = match definitions.table("experiment", general()) {
        Value::Object(table) => table,
        other => unreachable!("a section is an object, not {other}"),
    };
    let mut properties = top.remove("properties").and_then(|found| found.as_object().cloned()).unwrap_or_default();
    properties["dataset"]["enum"] = catalog.datasets.iter().map(|dataset| dataset.name.as_str()).collect();
    properties.insert("extends".into(), described("string", "File below this one, relative to it."));
    let shared = Section::shared().into_iter().filter(|section| *section != Section::Data);
    for section in shared.filter_map(|section| Some((section, shared_schema(catalog, section)?))) {
        properties.insert(section.0.key().into(), definitions.section(section.0.key(), section.1));
    }
    properties.insert("data".into(), json!({ "type": "object", "description": "Settings of the data set." }));
    properties.insert("method".into(), definitions.methods(catalog));
    properties.insert("external".into(), external());
    let datasets: Vec<Value> = catalog
        .datasets
        .iter()
        .map(|dataset| {
            let data = definitions.section(&format!("data.{}", dataset.name), &dataset.settings);
            chosen("dataset", &dataset.name, json!({ "data": data }))
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Experiment of hashlab",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "allOf": datasets,
        "$defs": definitions.0,
    })
}

fn shared_schema(catalog: &Catalog, section: Section) -> Option<&Schema> {
    match section {
        Section::Train => Some(&catalog.train),
        Section::Eval => Some(&catalog.eval),
        Section::Encoder(modality) => catalog.encoders.get(modality),
        Section::Pruning => Some(pruning()),
        Section::General | Section::Params | Section::Data => None,
    }
}

/// Rows of codes that others computed.
fn external() -> Value {
    let properties = json!({
        "label": described("string", "The row in tables."),
        "codes": described("string", "Files of codes, with `{bits}`, `{seed}` and `{side}`."),
        "bits": { "$ref": "#/properties/bits" },
    });
    let item = json!({
        "type": "object", "properties": properties, "required": ["label", "codes"], "additionalProperties": false,
    });
    json!({ "type": "array", "items": item, "description": "Codes that others computed, one table per row." })
}

fn described(kind: &str, text: &str) -> Value {
    json!({ "type": kind, "description": text })
}

/// The range of a number.
fn range(end: &Value) -> Value {
    json!({
        "type": "object",
        "properties": { "low": end, "high": end, "scale": { "enum": ["linear", "log"], "default": "linear" } },
        "required": ["low", "high"],
        "additionalProperties": false,
    })
}

/// Where `key` is `name`, the other keys are these.
fn chosen(key: &str, name: &str, properties: Value) -> Value {
    json!({ "if": { "properties": { key: { "const": name } }, "required": [key] }, "then": { "properties": properties } })
}

/// Definitions that the schema refers to.
struct Definitions(Map<String, Value>);

impl Definitions {
    /// Defines a section, and returns a reference to it.
    fn section(&mut self, name: &str, schema: &Schema) -> Value {
        if !self.0.contains_key(name) {
            let table = self.table(name, schema);
            self.0.insert(name.to_owned(), table);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    /// The table of a section: the keys that a file may set. What its type refers to becomes a definition of its own.
    fn table(&mut self, name: &str, schema: &Schema) -> Value {
        let definitions = schema.json.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
        for (inner, mut definition) in definitions {
            qualify(&mut definition, name);
            self.0.insert(format!("{name}.{inner}"), definition);
        }
        let mut properties = Map::new();
        for (key, default) in &schema.defaults {
            let mut property = schema.json["properties"].get(key).cloned().unwrap_or_else(|| json!({}));
            qualify(&mut property, name);
            if let Some(table) = property.as_object_mut() {
                table.remove("appliesTo");
                if default.is_null() {
                    table.remove("default")
                } else {
                    table.insert("default".into(), default.clone())
                };
            }
            properties.insert(key.clone(), property);
        }
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    }

    /// The list of methods. Which hyperparameters a method has follows from its name.
    fn methods(&mut self, catalog: &Catalog) -> Value {
        let names: Value = catalog.methods.iter().map(|method| method.name.as_str()).collect();
        let mut properties = json!({
            "name": { "enum": names, "description": "The method." },
            "label": described("string", "The row in tables; the method's title by default."),
            "bits": { "$ref": "#/properties/bits" },
            "seeds": { "$ref": "#/properties/seeds" },
            "search": { "$ref": "#/properties/search" },
            "trials": { "$ref": "#/properties/trials" },
            "search_seed": { "$ref": "#/properties/search_seed" },
            "generation": { "$ref": "#/properties/generation" },
            "params": described("object", "Hyperparameters."),
            "grid": described("object", "Values to try: lists, and ranges of a search."),
            "zip": { "description": "Lists of values that move together, of one length." },
            "when": {
                "type": "object",
                "additionalProperties": { "type": "object" },
                "description": "Keys of the grid that vary only where others have these values.",
            },
            "exclude": {
                "type": ["array", "object"],
                "items": { "type": "object" },
                "description": "Partial points that are left out.",
            },
        });
        for section in Section::varied() {
            if let Some(schema) = shared_schema(catalog, section) {
                properties[section.key()] = self.section(section.key(), schema);
            }
        }
        let each: Vec<Value> = catalog.methods.iter().map(|method| self.method(catalog, method)).collect();
        let item = json!({
            "type": "object",
            "properties": properties,
            "required": ["name"],
            "additionalProperties": false,
            "allOf": each,
        });
        json!({ "type": "array", "minItems": 1, "items": item, "description": "One table per method." })
    }

    fn method(&mut self, catalog: &Catalog, method: &MethodDecl) -> Value {
        let name = format!("method.{}", method.name);
        let params = self.section(&name, &method.params);
        let mut varied = self.lists(&name, &method.params, "");
        for section in Modality::ALL.map(Section::Encoder).into_iter().chain([Section::Train]) {
            let Some(schema) = shared_schema(catalog, section) else { continue };
            self.section(section.key(), schema);
            varied.extend(self.lists(section.key(), schema, &format!("{}.", section.key())));
            let nested = self.lists(section.key(), schema, "");
            let nested = json!({ "type": "object", "properties": nested, "additionalProperties": false });
            varied.insert(section.key().to_owned(), nested);
        }
        let table = json!({ "type": "object", "properties": varied, "additionalProperties": false });
        self.0.insert(format!("{name}.grid"), table);
        let grid = json!({ "$ref": format!("#/$defs/{name}.grid") });
        let zip = json!({ "anyOf": [grid, { "type": "array", "items": grid }] });
        chosen("name", &method.name, json!({ "params": params, "grid": grid, "zip": zip }))
    }

    /// The keys of a section as lists of values to try, and numbers as ranges, too.
    fn lists(&self, name: &str, schema: &Schema, prefix: &str) -> Map<String, Value> {
        let list = |key: &String| {
            let item = json!({ "$ref": format!("#/$defs/{name}/properties/{key}") });
            let list = json!({ "type": "array", "minItems": 1, "items": item });
            let ranged = schema.value_type(key).and_then(whole_numbers).is_some();
            (format!("{prefix}{key}"), if ranged { json!({ "anyOf": [list, range(&item)] }) } else { list })
        };
        schema.defaults.keys().map(list).collect()
    }
}

/// Lets references within a section's schema lead to the definitions of that section.
fn qualify(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(table) => {
            if let Some(Value::String(target)) = table.get_mut("$ref")
                && let Some(inner) = target.strip_prefix("#/$defs/")
            {
                *target = format!("#/$defs/{name}.{inner}");
            }
            table.values_mut().for_each(|value| qualify(value, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| qualify(item, name)),
        _ => {}
    }
}
