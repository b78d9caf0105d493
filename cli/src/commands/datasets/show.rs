//! `hashlab datasets show`: some items of an experiment as a web page, as its method sees them.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use candle_core::Device;
use hashlab_app::worker::with_environment;
use hashlab_data::{Dataset, Images, ItemData, Modality, Split};
use hashlab_image::{Transform, png};
use hashlab_method::ViewSpec;
use hashlab_pipeline::run::{batch_spec, split_of};
use hashlab_pipeline::{ImageFeatures, RunEnvironment};
use hashlab_store::RunConfig;
use hashlab_sweep::PlannedRun;

use super::page::{Figure, Item, Page};
use crate::args::ShowArgs;
use crate::context::{Context, print};
use crate::exit::bad_input;
use crate::out;

/// Items on a page.
const ITEMS: usize = 24;
/// Stored views that are drawn of each random transform.
const VIEWS: u32 = 2;

pub(crate) fn run(context: &Context, args: &ShowArgs) -> Result<ExitCode> {
    out::check(&args.out)?;
    let planned = context.plan(&args.experiment)?;
    let deep = |run: &&PlannedRun| context.registry().method(&run.template().method).is_ok_and(|method| method.deep);
    let runs = &planned.plan.runs;
    let chosen = runs.iter().find(deep).or(runs.first());
    let config = &chosen.ok_or_else(|| bad_input("the experiment has no run\nhelp: add a [[method]]"))?.config();
    let method = context.registry().method(&config.method)?;
    let page = with_environment(&context.workspace, config, &planned.weights, &Device::Cpu, |environment| {
        let spec = batch_spec(config, method, environment)?;
        let views = spec.map_or(Vec::new(), |spec| spec.views);
        page_of(config, environment, &transforms(&views, environment.images()))
    })?;
    out::write(&args.out, page.html().as_bytes())?;
    print(&format!("{} items in {}\n", page.items.len(), args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The different transforms of images among views.
fn transforms(views: &[ViewSpec], images: Option<&ImageFeatures<'_>>) -> Vec<Transform> {
    let mut different: Vec<Transform> = Vec::new();
    let Some(images) = images else { return different };
    for view in views {
        if let ViewSpec::Image(make) = view {
            let transform = make(images.image_size());
            if !different.contains(&transform) {
                different.push(transform);
            }
        }
    }
    different
}

fn page_of(config: &RunConfig, environment: &RunEnvironment<'_>, transforms: &[Transform]) -> Result<Page> {
    let dataset = environment.dataset;
    let split = split_of(config, dataset)?;
    let mut facts = dataset.findings();
    if facts.is_empty() {
        facts.push(format!("{} items in {} classes", dataset.len(), dataset.labels().classes()));
    }
    let [query, train, database] = [&split.query, &split.train, &split.database].map(Vec::len);
    facts.push(format!("{query} queries, {train} items to train on, {database} in the database"));
    let random: Vec<&Transform> = transforms.iter().filter(|transform| transform.is_random()).collect();
    for (at, transform) in random.iter().enumerate() {
        let number = if random.len() > 1 { format!(" of transform {}", at + 1) } else { String::new() };
        facts.push(format!("views{number}, as {} draws them: {transform}", config.method));
    }
    let items = chosen(&split).into_iter().map(|item| item_of(environment, &random, &split, item));
    let title = format!("{}, protocol {}", config.dataset, config.protocol);
    Ok(Page { title, facts, items: items.collect::<Result<_>>()? })
}

/// As many queries as training items and other items of the database, evenly from all of each.
fn chosen(split: &Split) -> BTreeSet<u32> {
    let mut database = split.database.clone();
    database.retain(|item| split.train.binary_search(item).is_err());
    database.sort_unstable();
    let mut chosen = BTreeSet::new();
    for items in [&split.query, &split.train, &database] {
        let count = (ITEMS / 3).min(items.len());
        chosen.extend((0..count).map(|at| items[at * items.len() / count]));
    }
    chosen
}

fn item_of(environment: &RunEnvironment<'_>, random: &[&Transform], split: &Split, item: u32) -> Result<Item> {
    let dataset = environment.dataset;
    let mut figures = Vec::new();
    if let Some(ItemData::Images(images)) = dataset.data(Modality::Image) {
        figures.push(original(images, item)?);
        if let Some(features) = environment.images() {
            figures.push(Figure { caption: "encoder's input".into(), png: png(&features.plain_image(item)?) });
            for (at, transform) in random.iter().enumerate() {
                for view in 0..VIEWS {
                    let image = features.view_image(item, transform, view)?;
                    let number = if random.len() > 1 { format!(" of transform {}", at + 1) } else { String::new() };
                    let caption = format!("view {}{number}", view + 1);
                    figures.push(Figure { caption, png: png(&image) });
                }
            }
        }
    }
    let mut captions = Vec::new();
    if let Some(ItemData::Texts(texts)) = dataset.data(Modality::Text) {
        for caption in 0..texts.captions() {
            captions.push(texts.text(item as usize, caption)?);
        }
    }
    Ok(Item { name: format!("item {item}, {}", roles(split, item)), labels: labels(dataset, item), captions, figures })
}

fn original(images: &dyn Images, item: u32) -> Result<Figure> {
    let image = images.image(item as usize)?;
    Ok(Figure { caption: format!("{} × {}", image.width, image.height), png: png(&image) })
}

fn labels(dataset: &dyn Dataset, item: u32) -> Vec<String> {
    let names = &dataset.info().classes;
    let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
    dataset.labels().classes_of(item as usize).into_iter().map(name).collect()
}

fn roles(split: &Split, item: u32) -> String {
    let roles = [
        ("query", &split.query),
        ("validation query", &split.validation_query),
        ("train", &split.train),
        ("database", &split.database),
    ];
    let has: Vec<&str> = roles.iter().filter(|(_, items)| items.contains(&item)).map(|(role, _)| *role).collect();
    if has.is_empty() { "in no role".to_owned() } else { has.join(", ") }
}
