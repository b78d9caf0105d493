//! What a plan knows of a run before its data are read.

use hashlab_settings::Violations;

use crate::ByModality;

/// What a plan knows of a run before its data are read, for methods that cannot work with all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Code length in bits.
    pub bits: usize,
    /// Length of a feature vector, by modality, where the encoder tells.
    pub dims: ByModality<usize>,
    /// Augmented views that are stored of every training item, by modality; absent where views are not stored, or where
    /// their number lies in the data set's files.
    pub views: ByModality<usize>,
}

impl RunFacts {
    /// Checks that a step which draws `views` different views of an item finds as many.
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

/// What a section `[image]` or `[text]` tells of its features before anything is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderFacts {
    /// Length of a feature vector.
    pub dim: Option<usize>,
    /// Augmented views that are stored of every training item.
    pub views: Option<usize>,
}
