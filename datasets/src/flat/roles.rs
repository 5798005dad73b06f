//! The role of a column, by its name.
//!
//! Logs use many names for the same columns. A name is compared in lower case, `-` and blanks as
//! `_`. What is not in the table is an info; where nothing in a file says how episodes end, such
//! columns are named in a finding, since one of them may mark the ends.

/// The role of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The observation before the step.
    Observations,
    /// The observation after the step.
    NextObservations,
    Actions,
    Rewards,
    /// A terminal state was reached.
    Terminal,
    /// The episode was cut off.
    Timeout,
    /// The episode ends, for whatever reason.
    End,
    /// The episode begins.
    Start,
    /// A number of the episode, another one for the next.
    Episode,
}

/// All names; where a file has several of a group, the first counts.
const NAMES: [(Role, &[&str]); 9] = [
    (
        Role::Observations,
        &[
            "observations",
            "observation",
            "obs",
            "observation.state",
            "states",
            "state",
        ],
    ),
    (
        Role::NextObservations,
        &[
            "next_observations",
            "next_observation",
            "next_obs",
            "new_obs",
            "next_observation.state",
            "next_states",
            "next_state",
        ],
    ),
    (Role::Actions, &["actions", "action", "acts", "act"]),
    (
        Role::Rewards,
        &[
            "rewards",
            "reward",
            "rews",
            "rew",
            "next.reward",
            "next_reward",
        ],
    ),
    (
        Role::Terminal,
        &[
            "terminals",
            "terminal",
            "terminations",
            "termination",
            "terminated",
            "terminateds",
            "is_terminal",
            "is_terminated",
        ],
    ),
    (
        Role::Timeout,
        &[
            "timeouts",
            "timeout",
            "truncations",
            "truncation",
            "truncated",
            "truncateds",
            "is_truncated",
            "is_timeout",
            "time_limit",
        ],
    ),
    (
        Role::End,
        &[
            "dones",
            "done",
            "is_done",
            "next.done",
            "next_done",
            "next_dones",
            "is_last",
            "last",
            "ends",
            "end",
            "is_end",
            "episode_end",
            "episode_ends",
            "episode_terminals",
            "episode_done",
            "end_of_episode",
            "final",
        ],
    ),
    (
        Role::Start,
        &[
            "is_first",
            "first",
            "starts",
            "start",
            "is_start",
            "episode_start",
            "episode_starts",
            "initial",
        ],
    ),
    (
        Role::Episode,
        &[
            "episodes",
            "episode",
            "episode_id",
            "episode_ids",
            "episode_index",
            "episode_indices",
            "episode_idx",
            "episode_num",
            "episode_number",
            "episode_no",
            "ep",
            "ep_id",
            "eps_id",
            "traj",
            "traj_id",
            "traj_ids",
            "traj_idx",
            "traj_index",
            "trajectory",
            "trajectory_id",
            "trajectory_ids",
            "trajectory_idx",
            "trajectory_index",
            "rollout",
            "rollout_id",
            "trial",
            "trial_id",
        ],
    ),
];

/// The role of a column of that name, and the rank of the name: lower is preferred.
pub(crate) fn role(name: &str) -> Option<(Role, usize)> {
    let plain: String = name
        .trim()
        .chars()
        .map(|letter| match letter {
            '-' | ' ' => '_',
            letter => letter.to_ascii_lowercase(),
        })
        .collect();
    NAMES.iter().find_map(|(role, names)| {
        let place = names.iter().position(|known| *known == plain)?;
        Some((*role, place))
    })
}

/// The most preferred of the names in a role.
pub(crate) fn best<'a>(names: impl IntoIterator<Item = &'a str>, wanted: Role) -> Option<&'a str> {
    let known = names.into_iter().filter_map(|name| match role(name) {
        Some((found, place)) if found == wanted => Some((place, name)),
        _ => None,
    });
    known.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_meaning() {
        let all: Vec<&str> = NAMES
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        for (index, name) in all.iter().enumerate() {
            assert!(!all[..index].contains(name), "{name}");
        }
        assert_eq!(
            role("Episode Index").map(|(role, _)| role),
            Some(Role::Episode)
        );
        assert_eq!(role("speed"), None);
    }

    #[test]
    fn the_usual_name_is_preferred() {
        let names = ["state", "obs", "observations"];
        assert_eq!(best(names, Role::Observations), Some("observations"));
        assert_eq!(best(names, Role::Rewards), None);
    }
}
