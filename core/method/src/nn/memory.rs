//! A row per training item: codes, probabilities or features that outlive a step.

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Shape, Tensor};

use super::expect;
use crate::State;

/// A matrix `(items, dim)` without gradients, e.g. the codes of all training items in DPSH.
pub struct Memory {
    name: String,
    rows: Tensor,
}

impl Memory {
    /// A memory of zeros, called `name` in the method's state.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn zeros(name: &str, shape: (usize, usize), device: &Device) -> Result<Self> {
        Ok(Self { name: name.to_owned(), rows: Tensor::zeros(shape, DType::F32, device)? })
    }

    /// All rows, `(items, dim)`: a copy that later writes do not change.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn all(&self) -> Result<Tensor> {
        Ok(self.rows.copy()?)
    }

    /// The rows of a batch, `(b, dim)`; `items` are [`Batch::items`](crate::Batch).
    ///
    /// # Errors
    /// If an item is beyond the memory.
    pub fn read(&self, items: &[u32]) -> Result<Tensor> {
        Ok(self.rows.index_select(&Tensor::new(items, self.rows.device())?, 0)?)
    }

    /// Replaces the rows of a batch by `rows` `(b, dim)`, detached from their graph. If an item occurs twice, its last
    /// row is kept.
    ///
    /// # Errors
    /// If an item is beyond the memory, or the shape is another.
    pub fn write(&mut self, items: &[u32], rows: &Tensor) -> Result<()> {
        let (count, dim) = self.rows.dims2()?;
        ensure!(rows.dims() == [items.len(), dim], "rows {:?} for {} items of {dim}", rows.dims(), items.len());
        let rows = rows.detach().to_dtype(DType::F32)?;
        for (at, &item) in items.iter().enumerate() {
            ensure!((item as usize) < count, "item {item} is beyond a memory of {count}");
            self.rows.slice_set(&rows.narrow(0, at, 1)?.contiguous()?, 0, item as usize)?;
        }
        Ok(())
    }

    /// Replaces all rows.
    ///
    /// # Errors
    /// If the shape is another.
    pub fn set(&mut self, rows: &Tensor) -> Result<()> {
        ensure!(rows.dims() == self.rows.dims(), "rows {:?} for a memory of {:?}", rows.dims(), self.rows.dims());
        self.rows = rows.detach().to_dtype(DType::F32)?.copy()?;
        Ok(())
    }

    /// Adds the memory to a method's state.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn save(&self, state: &mut State) -> Result<()> {
        state.insert(self.name.clone(), self.rows.copy()?);
        Ok(())
    }

    /// Takes the memory's tensor out of `state`, leaving the rest to the method's other parts. Call [`Self::set`] with
    /// it after all other parts were checked.
    ///
    /// # Errors
    /// If it is missing or misshapen.
    pub fn take(&self, state: &mut State) -> Result<Tensor> {
        let shape: Shape = self.rows.shape().clone();
        let rows = expect(state, &self.name, &shape)?.clone();
        state.remove(&self.name);
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_read_saved_and_taken_back() {
        let device = &Device::Cpu;
        let mut memory = Memory::zeros("codes", (4, 2), device).unwrap();
        memory.write(&[3, 1], &Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], device).unwrap()).unwrap();
        assert_eq!(memory.read(&[1, 0, 3]).unwrap().to_vec2::<f32>().unwrap(), [[3.0, 4.0], [0.0, 0.0], [1.0, 2.0]]);
        let before = memory.all().unwrap();
        let mut state = State::new();
        memory.save(&mut state).unwrap();
        memory.write(&[0], &Tensor::new(&[[9f32, 9.0]], device).unwrap()).unwrap();
        assert_eq!(before.to_vec2::<f32>().unwrap()[0], [0.0, 0.0]);
        let mut other = Memory::zeros("codes", (4, 2), device).unwrap();
        let rows = other.take(&mut state).unwrap();
        other.set(&rows).unwrap();
        assert!(state.is_empty());
        assert_eq!(other.all().unwrap().to_vec2::<f32>().unwrap(), before.to_vec2::<f32>().unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut memory = Memory::zeros("codes", (4, 2), &Device::Cpu).unwrap();
        let row = Tensor::zeros((1, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(memory.write(&[4], &row).is_err());
        assert!(memory.write(&[0, 1], &row).is_err());
        assert!(memory.take(&mut State::new()).is_err());
    }
}
