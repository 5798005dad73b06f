//! Generalised advantage estimation (Schulman et al. 2016).
//!
//! ```text
//! delta_t = r_t + gamma V(s_t+1) - V(s_t)
//! A_t     = delta_t + gamma lambda A_t+1,   A_t+1 = 0 where the episode ends at t
//! R_t     = A_t + V(s_t)
//! ```
//!
//! `V(s_t+1)` is 0 after a terminal state, and the value of an episode's last observation if it was
//! truncated and `bootstrap` is set.

use crate::algorithms::Trajectories;

/// Gamma and lambda.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    /// The discount of one step.
    pub discount: f64,
    /// Lambda, the decay of advantages over later steps.
    pub lambda: f64,
}

/// The rows of a collection whose next value is not that of another row: the last step of each
/// environment and, with `bootstrap`, the last steps of truncated episodes. Terminal steps are
/// excluded.
pub fn open_ends(trajectories: &Trajectories, bootstrap: bool) -> Vec<usize> {
    let rows = trajectories.rows();
    let is_open = |row: &usize| {
        let is_cut = trajectories.truncated[*row] > 0.0;
        let is_last = row + trajectories.environments >= rows;
        let goes_on = if is_cut { bootstrap } else { is_last };
        trajectories.terminated[*row] == 0.0 && goes_on
    };
    (0..rows).filter(is_open).collect()
}

/// V(s') of each row: from `values`, the V(s) of all rows, and from `ends`, the V(s') of the rows
/// of [`open_ends`]; 0 after other ends of episodes.
pub fn next_values(
    trajectories: &Trajectories,
    values: &[f32],
    open: &[usize],
    ends: &[f32],
) -> Vec<f32> {
    let stride = trajectories.environments;
    let next = |row: usize| {
        if trajectories.terminated[row] > 0.0 || trajectories.truncated[row] > 0.0 {
            0.0
        } else {
            values.get(row + stride).copied().unwrap_or_default()
        }
    };
    let mut all: Vec<f32> = (0..values.len()).map(next).collect();
    for (&row, &value) in open.iter().zip(ends) {
        all[row] = value;
    }
    all
}

/// The advantages and returns of all rows.
pub fn advantages(
    trajectories: &Trajectories,
    values: &[f32],
    next_values: &[f32],
    horizon: Horizon,
) -> (Vec<f32>, Vec<f32>) {
    let stride = trajectories.environments;
    let mut advantages = vec![0.0_f64; values.len()];
    for row in (0..values.len()).rev() {
        let ends = trajectories.terminated[row] > 0.0 || trajectories.truncated[row] > 0.0;
        let later = match advantages.get(row + stride) {
            Some(later) if !ends => *later,
            _ => 0.0,
        };
        let reward = f64::from(trajectories.rewards[row]);
        let delta =
            reward + horizon.discount * f64::from(next_values[row]) - f64::from(values[row]);
        advantages[row] = delta + horizon.discount * horizon.lambda * later;
    }
    let pairs = advantages.iter().zip(values);
    let returns = pairs.map(|(a, v)| (a + f64::from(*v)) as f32);
    let returns = returns.collect();
    (advantages.iter().map(|&a| a as f32).collect(), returns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::testing::assert_close;

    const HORIZON: Horizon = Horizon {
        discount: 0.99,
        lambda: 0.95,
    };

    fn steps(terminated: [f32; 3], truncated: [f32; 3]) -> Trajectories {
        Trajectories {
            environments: 1,
            rewards: vec![1.0; 3],
            terminated: terminated.to_vec(),
            truncated: truncated.to_vec(),
            ..Trajectories::default()
        }
    }

    fn both(of: &Trajectories, bootstrap: bool, ends: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let values = [0.5, 0.4, 0.3];
        let open = open_ends(of, bootstrap);
        assert_eq!(open.len(), ends.len());
        let next = next_values(of, &values, &open, ends);
        advantages(of, &values, &next, HORIZON)
    }

    #[test]
    fn an_episode_that_ends_within_the_collection_gives_known_advantages() {
        let (advantages, returns) = both(&steps([0.0, 1.0, 0.0], [0.0; 3]), true, &[0.2]);
        assert_close(&advantages, &[1.4603, 0.6, 0.898], "advantages");
        assert_close(&returns, &[1.9603, 1.0, 1.198], "returns");
    }

    #[test]
    fn a_time_limit_is_an_end_or_bootstraps_from_the_last_observation() {
        let of = steps([0.0; 3], [0.0, 1.0, 0.0]);
        let (as_end, _) = both(&of, false, &[0.2]);
        assert_close(&as_end, &[1.4603, 0.6, 0.898], "advantages");
        let (goes_on, _) = both(&of, true, &[0.7, 0.2]);
        assert!((goes_on[1] - (0.6 + 0.99 * 0.7)).abs() < 1e-6);
        assert!(
            (goes_on[2] - 0.898).abs() < 1e-6,
            "no value leaks across the truncation"
        );
    }

    #[test]
    fn an_episode_that_ends_at_the_last_step_needs_no_value_beyond() {
        let (advantages, _) = both(&steps([0.0, 0.0, 1.0], [0.0; 3]), true, &[]);
        assert!((advantages[2] - 0.7).abs() < 1e-6);
    }

    #[test]
    fn environments_do_not_mix() {
        let one = steps([0.0, 1.0, 0.0], [0.0; 3]);
        let twice = |numbers: &[f32]| numbers.iter().flat_map(|&x| [x, x]).collect::<Vec<_>>();
        let two = Trajectories {
            environments: 2,
            rewards: twice(&one.rewards),
            terminated: twice(&one.terminated),
            truncated: twice(&one.truncated),
            ..Trajectories::default()
        };
        let values = twice(&[0.5, 0.4, 0.3]);
        let open = open_ends(&two, true);
        let next = next_values(&two, &values, &open, &[0.2, 0.2]);
        let (found, _) = advantages(&two, &values, &next, HORIZON);
        assert_eq!(found, twice(&both(&one, true, &[0.2]).0));
    }
}
