//! The number of threads for each rank.

use std::fs;
use std::hash::{DefaultHasher, Hasher};

use super::World;

/// The threads for each rank, the same for all: the cores that a rank may use, divided by the ranks
/// that share them, and of those the fewest.
///
/// Ranks share cores if they are on one machine and are bound to the same ones; launchers that bind
/// each rank to separate cores leave nothing to divide. Cores that Slurm assigns to a task are not
/// shared.
pub fn cores(world: &World) -> usize {
    let mut place = DefaultHasher::new();
    for file in ["/proc/sys/kernel/hostname", "/proc/self/status"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        let allowed = text
            .lines()
            .find(|line| line.starts_with("Cpus_allowed_list"));
        place.write(allowed.unwrap_or(&text).as_bytes());
    }
    let of_task = std::env::var("SLURM_CPUS_PER_TASK").ok();
    let of_task: Option<usize> = of_task.and_then(|count| count.parse().ok());
    let own = std::thread::available_parallelism().map_or(1, usize::from);
    let count = of_task.unwrap_or(own);
    if of_task.is_some() {
        place.write_usize(world.rank());
    }
    let all = world.gather(&[place.finish(), count as u64]);
    fewest(all.as_chunks().0)
}

/// Of (place, cores) of each rank.
fn fewest(ranks: &[[u64; 2]]) -> usize {
    let share = |[place, cores]: &[u64; 2]| {
        let sharing = ranks.iter().filter(|[other, _]| other == place).count();
        *cores as usize / sharing
    };
    ranks.iter().map(share).min().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_in_one_place_share_its_cores_and_the_fewest_count() {
        assert_eq!(fewest(&[[1, 8]]), 8);
        assert_eq!(fewest(&[[1, 8], [1, 8]]), 4);
        assert_eq!(fewest(&[[1, 1], [2, 1]]), 1);
        assert_eq!(fewest(&[[1, 8], [1, 8], [2, 6]]), 4);
        assert_eq!(fewest(&[[1, 2], [1, 2], [1, 2]]), 1);
    }
}
