//! Temporary.
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::path::Path;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let w = hashlab_backbones::Weights::read(Path::new(&a[2])).unwrap();
    let net = (hashlab_backbones::find(&a[1]).unwrap().open)(Some(&w), 0).unwrap();
    let px = std::fs::read(&a[3]).unwrap();
    let s: usize = a[4].parse().unwrap();
    let [m, d] = net.normalize();
    let per = s * s * 3;
    let t0 = std::time::Instant::now();
    let out: Vec<Vec<f32>> = px
        .par_chunks(per * 8)
        .map(|c| {
            let v: Vec<f32> = c.iter().enumerate().map(|(i, b)| (*b as f32 / 255.0 - m[i % 3]) / d[i % 3]).collect();
            let x = Tensor::from_vec(v, (c.len() / per, s, s, 3), &Device::Cpu).unwrap();
            hashlab_kernels::threads::serial(|| net.forward(&x))
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
        })
        .collect();
    eprintln!("{} images in {:?} digest {}", px.len() / per, t0.elapsed(), w.digest());
    std::fs::write(&a[5], out.concat().iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
}
