//! Comparison of runs: a page, tables, curves and data files, from run directories only.
//!
//! [`find`] and [`read`] read run directories, finished or not. [`Comparison`] groups runs by the
//! differences between their plans. [`page`], [`brief`], [`markdown`], [`latex`], [`curves_svg`],
//! [`episodes_csv`] and [`episodes_parquet`] write the result. Every number over runs comes from
//! [`crate::statistics`].

mod aggregate;
mod calibration;
mod chart;
mod commands;
mod curves;
mod episodes;
mod escape;
mod findings;
mod groups;
mod headline;
mod inspection;
mod page;
mod plan;
mod read;
mod table;
mod tables;

pub use curves::curves_svg;
pub use episodes::{episodes_csv, episodes_parquet};
pub use groups::{Comparison, Group};
pub use inspection::inspection_svg;
pub use page::page;
pub use read::{Cost, RunReport, find, read};
pub use tables::{brief, latex, markdown};

#[cfg(test)]
mod tests;
