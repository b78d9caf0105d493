//! The hashing methods. A new one is a file here and a line in each of the two lists below.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use hashlab_method::{BuildContext, ByModality, Features, Modality};
//! use hashlab_methods::METHODS;
//!
//! let lsh = METHODS.iter().find(|method| method.info.name == "lsh").unwrap();
//! let method = lsh.build(&Default::default(), &BuildContext::of_images(16, 8))?;
//! let items = Features::one(Modality::Image, Tensor::ones((3, 8), DType::F32, &Device::Cpu)?);
//! let codes = method.as_method().encode(&items, Modality::Image)?; // relaxed: `h >= 0` is bit 1
//! assert_eq!(codes.dims2()?, (3, 16));
//! # Ok::<_, anyhow::Error>(())
//! ```

use hashlab_method::MethodEntry;

pub mod agh_1;
pub mod agh_2;
pub mod bert_resnet;
pub mod cca_itq;
pub mod cibhash;
pub mod crovca;
pub mod crovca_supervised;
pub mod cvh;
pub mod dgh;
pub mod djsrh;
pub mod hashnet;
pub mod itq;
pub mod lsh;
pub mod nsh;
pub mod pca_rr;
pub mod pcah;
pub mod sh;
pub mod sph;
pub mod ucmfh;

pub mod anchors;
pub mod cca;
pub mod fusion;
pub mod hash_coder;
pub mod ucmfh_params;

mod graph;
mod kmeans;
mod linalg;
mod orthogonal;
mod projection;

/// Published numbers of the methods, with their sources, for the paper rows of tables.
pub const PUBLISHED: &str = include_str!("../published.toml");

/// Every registered method, in the order of tables and listings.
pub const METHODS: &[MethodEntry] = &[
    MethodEntry::fitted::<lsh::Lsh>(),
    MethodEntry::fitted::<pcah::Pcah>(),
    MethodEntry::fitted::<pca_rr::PcaRr>(),
    MethodEntry::fitted::<sh::Sh>(),
    MethodEntry::fitted::<sph::Sph>(),
    MethodEntry::fitted::<itq::Itq>(),
    MethodEntry::fitted::<agh_1::Agh1>(),
    MethodEntry::fitted::<agh_2::Agh2>(),
    MethodEntry::fitted::<dgh::Dgh>(),
    MethodEntry::stackable::<cibhash::CibHash>(),
    MethodEntry::stackable::<nsh::Nsh>(),
    MethodEntry::stackable::<crovca::CroVca>(),
    MethodEntry::stackable::<hashnet::HashNet>(),
    MethodEntry::stackable::<crovca_supervised::CroVcaSupervised>(),
    MethodEntry::fitted::<cvh::Cvh>(),
    MethodEntry::fitted::<cca_itq::CcaItq>(),
    MethodEntry::trained::<djsrh::Djsrh>(),
    MethodEntry::stackable::<ucmfh::Ucmfh>(),
    MethodEntry::stackable::<bert_resnet::BertResNet>(),
];
