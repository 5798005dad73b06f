//! Whether a dataset is kept in memory or mapped.

use serde::{Deserialize, Serialize};

use crate::memory::free_memory;

/// Where a dataset's numbers are kept while it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreMode {
    /// Mapped if the data would take more than half of the free memory.
    #[default]
    Auto,
    /// In memory.
    Memory,
    /// Mapped from a store, which is made if there is none.
    Mapped,
}

impl StoreMode {
    /// Whether data of about that many bytes are to be mapped.
    pub fn maps(self, bytes: u64) -> bool {
        match self {
            Self::Auto => free_memory().is_some_and(|free| bytes > free / 2),
            Self::Memory => false,
            Self::Mapped => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_auto_looks_at_the_size() {
        assert!(!StoreMode::Memory.maps(u64::MAX));
        assert!(StoreMode::Mapped.maps(0));
        assert!(!StoreMode::Auto.maps(0));
        if let Some(free) = free_memory() {
            assert!(free > 0);
            assert!(StoreMode::Auto.maps(u64::MAX));
        }
    }

    #[test]
    fn modes_are_written_in_lower_case() {
        let mode: StoreMode = serde_json::from_str("\"mapped\"").unwrap();
        assert_eq!(mode, StoreMode::Mapped);
        assert_eq!(serde_json::to_string(&StoreMode::Auto).unwrap(), "\"auto\"");
    }
}
