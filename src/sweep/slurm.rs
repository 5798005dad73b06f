//! A sweep as a Slurm array job.

use std::fmt::Write as _;
use std::process::Command;

use super::{Error, Folder, RunState};

/// Submits an array task for each run that is neither done nor running, at most `limit` at a time,
/// and returns the output of `sbatch`; `None` where nothing is left to do.
///
/// # Errors
/// No `sbatch`, or one that refuses.
pub fn submit(folder: &Folder, limit: Option<usize>) -> Result<Option<String>, Error> {
    let mut indices = Vec::new();
    for index in 0..folder.names().len() {
        if matches!(folder.state(index)?, RunState::Stopped | RunState::Waiting) {
            indices.push(index);
        }
    }
    if indices.is_empty() {
        return Ok(None);
    }
    let mut array = ranges(&indices);
    if let Some(limit) = limit {
        let _ = write!(array, "%{limit}");
    }
    let output = Command::new("sbatch")
        .arg(format!("--array={array}"))
        .arg(folder.path().join("array.sbatch"))
        .output()
        .map_err(|source| Error::Start {
            program: "sbatch".to_owned(),
            source,
        })?;
    if !output.status.success() {
        return Err(Error::Slurm(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    Ok(Some(
        String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    ))
}

/// Ascending indices as Slurm writes them: `0-3,7`.
fn ranges(indices: &[usize]) -> String {
    let parts = indices.chunk_by(|a, b| a + 1 == *b).map(|part| match part {
        [one] => one.to_string(),
        many => format!("{}-{}", many[0], many[many.len() - 1]),
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_indices_are_a_range() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[4]), "4");
    }
}
