//! Facts of a run that are known at planning time.

use hashlab_settings::Violations;

use crate::ByModality;

/// Facts of a run that are known before its data are read, for methods that check them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Code length in bits.
    pub bits: usize,
    /// Length of a feature vector, by modality, if known.
    pub dims: ByModality<usize>,
    /// Number of augmented views that are stored of every training item, by modality; absent if views are not stored,
    /// or if their number is in the data set's files.
    pub views: ByModality<usize>,
    /// Number of training items, if the data set is here.
    pub train_items: Option<usize>,
    /// Items per step of a deep method.
    pub batch_size: Option<usize>,
}

impl RunFacts {
    /// Most items that a step sees, if known: a batch, or all training items where they are fewer.
    pub fn items_per_step(&self) -> Option<usize> {
        self.train_items.into_iter().chain(self.batch_size).min()
    }

    /// Checks that a step which draws `views` different views of an item has enough of them.
    pub fn draws_views(&self, views: usize) -> Violations {
        let few = self.views.iter().filter(|(_, stored)| **stored < views);
        few.fold(Violations::none(), |broken, (modality, stored)| {
            let message =
                format!("the method draws {views} views of every {modality} in a step, and {stored} is stored");
            let key = format!("{modality}.views");
            broken.and(Violations::one([&key], format!("{message}\nhelp: raise `views` to at least {views}")))
        })
    }
}

/// Facts of an encoder section: feature length and number of stored views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderFacts {
    /// Length of a feature vector.
    pub dim: Option<usize>,
    /// Number of augmented views that are stored of every training item.
    pub views: Option<usize>,
}
