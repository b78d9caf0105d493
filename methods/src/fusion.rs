//! A transformer encoder that fuses the modalities of items, as `torch.nn.TransformerEncoder` of layers that normalize
//! after each addition.

use anyhow::{Result, ensure};
use candle_core::{D, Tensor, Var};
use hashlab_method::nn::{LayerNorm, Linear, Parameters, attention, dropout, linear};
use hashlab_method::{BuildContext, Draws};

/// Sizes of a [`FusionTransformer`].
#[derive(Clone, Copy)]
pub struct FusionSizes {
    /// Layers.
    pub layers: usize,
    /// Columns of the input and the output.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the hidden layer of the dense part.
    pub feedforward: usize,
}

/// Attention between items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequences {
    /// Each item attends to itself only.
    Single,
    /// All items of a call attend to each other.
    Joint,
}

/// Dropout of a training pass.
pub struct Dropout<'a> {
    /// Probability of each dropout of the layer: of attention weights, of both additions and of the hidden layer.
    pub p: f64,
    /// Source of the draws.
    pub draws: &'a mut Draws,
}

/// Transformer layers over rows that hold the modalities of an item side by side.
pub struct FusionTransformer {
    layers: Vec<Layer>,
}

/// Attention and two dense layers, each added to its input and then normalized.
struct Layer {
    /// Queries, keys and values below each other, `(3 · width, width)`, in one variable as in PyTorch: weight decay and
    /// moments act on the parts for queries and keys even where those get no gradient.
    inputs: [Var; 2],
    output: Linear,
    dense: [Linear; 2],
    norms: [LayerNorm; 2],
    heads: usize,
}

impl FusionTransformer {
    /// Adds the layers `NAME.layers.I` to the parameters, under PyTorch's names. All have the initial values of the
    /// first, as `torch.nn.TransformerEncoder` copies its layer.
    ///
    /// # Errors
    /// If `heads` does not divide the width, or the device is out of memory.
    pub fn new(vars: &mut Parameters, name: &str, sizes: FusionSizes, cx: &BuildContext) -> Result<Self> {
        let FusionSizes { width, heads, .. } = sizes;
        ensure!(
            width.is_multiple_of(heads),
            "`heads` = {heads} does not divide the {width} columns of an item's features of both modalities"
        );
        let at = |index: usize| format!("{name}.layers.{index}");
        let layers: Vec<Layer> =
            (0..sizes.layers).map(|index| Layer::new(vars, &at(index), sizes, cx)).collect::<Result<_>>()?;
        for index in 1..sizes.layers {
            vars.copy(&format!("{}.", at(0)), &format!("{}.", at(index)))?;
        }
        Ok(Self { layers })
    }

    /// Maps items `(n, width)` to the same shape; of stacked runs, which attend to [`Sequences::Single`], items
    /// `(runs, n, width)`.
    ///
    /// # Errors
    /// If `x` has another number of columns.
    pub fn forward(&self, x: &Tensor, sequences: Sequences, mut dropout: Option<Dropout<'_>>) -> Result<Tensor> {
        self.layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, sequences, dropout.as_mut()))
    }
}

impl Layer {
    fn new(vars: &mut Parameters, name: &str, sizes: FusionSizes, cx: &BuildContext) -> Result<Self> {
        let FusionSizes { width, heads, feedforward, .. } = sizes;
        let xavier = (6.0 / (4 * width) as f64).sqrt(); // of a weight of width inputs and 3 · width outputs
        let within = (width as f64).sqrt().recip();
        let attention = format!("{name}.self_attn");
        Ok(Self {
            inputs: [
                vars.uniform(&format!("{attention}.in_proj_weight"), (3 * width, width), xavier, cx)?,
                vars.zeros(&format!("{attention}.in_proj_bias"), 3 * width, cx)?,
            ],
            output: Linear::of(
                vars.uniform(&format!("{attention}.out_proj.weight"), (width, width), within, cx)?,
                vars.zeros(&format!("{attention}.out_proj.bias"), width, cx)?,
            ),
            dense: [
                Linear::new(vars, &format!("{name}.linear1"), (width, feedforward), cx)?,
                Linear::new(vars, &format!("{name}.linear2"), (feedforward, width), cx)?,
            ],
            norms: [
                LayerNorm::new(vars, &format!("{name}.norm1"), width, cx)?,
                LayerNorm::new(vars, &format!("{name}.norm2"), width, cx)?,
            ],
            heads,
        })
    }

    fn forward(&self, x: &Tensor, sequences: Sequences, mut drop: Option<&mut Dropout<'_>>) -> Result<Tensor> {
        let mut dropped = |x: Tensor| match &mut drop {
            Some(Dropout { p, draws }) if *p > 0.0 => dropout(&x, *p, draws),
            _ => Ok(x),
        };
        let attended = match sequences {
            Sequences::Single => {
                let values = self.values(x)?;
                // The weight of the only key is 1, or dropped, for a head as a whole.
                let of_heads = |width: usize| [&x.dims()[..x.rank() - 1], &[self.heads, width]].concat();
                let weights = dropped(Tensor::ones(of_heads(1), x.dtype(), x.device())?)?;
                let by_head = values.reshape(of_heads(x.dim(D::Minus1)? / self.heads))?.broadcast_mul(&weights)?;
                by_head.reshape(x.shape())?
            }
            Sequences::Joint => self.attend(x)?,
        };
        let x = self.norms[0].forward(&(x + dropped(self.output.forward(&attended)?)?)?)?;
        let hidden = dropped(self.dense[0].forward_relu(&x)?)?;
        Ok(self.norms[1].forward(&(&x + dropped(self.dense[1].forward(&hidden)?)?)?)?)
    }

    /// Attention of each item to itself: its value.
    fn values(&self, x: &Tensor) -> Result<Tensor> {
        let width = x.dim(D::Minus1)?;
        let part = |var: &Var, axis: D| var.narrow(axis, 2 * width, width);
        let [weight, bias] = &self.inputs;
        Ok(linear(x, &part(weight, D::Minus2)?, Some(&part(bias, D::Minus1)?))?)
    }

    /// Attention among all items.
    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let (n, width) = x.dims2()?;
        let all = linear(x, &self.inputs[0], Some(&self.inputs[1]))?;
        let part = |index: usize| all.narrow(1, index * width, width);
        Ok(attention([&part(0)?, &part(1)?, &part(2)?], &[n], self.heads)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    const SIZES: FusionSizes = FusionSizes { layers: 2, width: 8, heads: 4, feedforward: 16 };

    fn built(sizes: FusionSizes) -> (Parameters, Result<FusionTransformer>) {
        let mut vars = Parameters::default();
        let fusion = FusionTransformer::new(&mut vars, "fusion", sizes, &BuildContext::of_images(8, 4));
        (vars, fusion)
    }

    fn items(n: usize) -> Tensor {
        let values: Vec<f32> = (0..n * 8).map(|i| (i as f32 * 0.7).sin()).collect();
        Tensor::from_vec(values, (n, 8), &Device::Cpu).unwrap()
    }

    #[test]
    fn all_layers_start_alike_in_variables_of_their_own() {
        let (vars, _) = built(SIZES);
        let state = vars.state().unwrap();
        for (name, first) in state.iter().filter(|(name, _)| name.contains("layers.0")) {
            let second = &state[&name.replace("layers.0", "layers.1")];
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(flat(first), flat(second), "{name}");
        }
        assert_eq!(vars.vars().len(), 2 * 12);
    }

    #[test]
    fn an_item_alone_does_not_see_the_others_and_a_joint_sequence_of_one_is_the_same() {
        let (_, fusion) = built(SIZES);
        let (fusion, x) = (fusion.unwrap(), items(5));
        let rows = |x: &Tensor, sequences| fusion.forward(x, sequences, None).unwrap().to_vec2::<f32>().unwrap();
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        let (single, joint) = (rows(&x, Sequences::Single), rows(&x, Sequences::Joint));
        for row in 0..5 {
            let alone = x.narrow(0, row, 1).unwrap();
            assert!(near(&single[row], &rows(&alone, Sequences::Single)[0]));
            assert!(near(&single[row], &rows(&alone, Sequences::Joint)[0]));
            assert!(!near(&single[row], &joint[row]));
        }
    }

    #[test]
    fn dropout_changes_training_alone_and_a_width_that_heads_do_not_divide_is_refused() {
        let (_, fusion) = built(SIZES);
        let (fusion, x) = (fusion.unwrap(), items(3));
        let pass = |p: f64, seed: u64| {
            let draws = &mut hashlab_rng::stream(seed, "fusion-test", &[]).into();
            let y = fusion.forward(&x, Sequences::Single, Some(Dropout { p, draws })).unwrap();
            y.to_vec2::<f32>().unwrap()
        };
        let plain = fusion.forward(&x, Sequences::Single, None).unwrap();
        assert_eq!(pass(0.0, 0), plain.to_vec2::<f32>().unwrap());
        assert_eq!(pass(0.5, 1), pass(0.5, 1));
        assert_ne!(pass(0.5, 1), pass(0.5, 2));
        assert_eq!(plain.dtype(), DType::F32);
        let error = built(FusionSizes { width: 10, ..SIZES }).1.err().unwrap();
        assert!(error.to_string().contains("`heads` = 4 does not divide the 10 columns"), "{error}");
    }
}
