//! Where D4RL's files are. Source of the names: `d4rl/infos.py` and the environments' registration.

const ENVS: [&str; 4] = ["hopper", "halfcheetah", "walker2d", "ant"];
const SETS: [&str; 6] = [
    "random",
    "medium",
    "expert",
    "medium-replay",
    "full-replay",
    "medium-expert",
];
const HANDS: [&str; 4] = ["pen", "hammer", "door", "relocate"];
const HAND_SETS: [&str; 3] = ["human", "cloned", "expert"];

/// Those whose file has another name than the dataset.
const OTHERS: [(&str, &str); 17] = [
    ("maze2d-open-v0", "maze2d/maze2d-open-sparse"),
    ("maze2d-umaze-v1", "maze2d/maze2d-umaze-sparse-v1"),
    ("maze2d-medium-v1", "maze2d/maze2d-medium-sparse-v1"),
    ("maze2d-large-v1", "maze2d/maze2d-large-sparse-v1"),
    ("maze2d-open-dense-v0", "maze2d/maze2d-open-dense"),
    ("maze2d-umaze-dense-v1", "maze2d/maze2d-umaze-dense-v1"),
    ("maze2d-medium-dense-v1", "maze2d/maze2d-medium-dense-v1"),
    ("maze2d-large-dense-v1", "maze2d/maze2d-large-dense-v1"),
    (
        "antmaze-umaze-v2",
        "ant_maze_v2/Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse_fixed",
    ),
    (
        "antmaze-umaze-diverse-v2",
        "ant_maze_v2/Ant_maze_u-maze_noisy_multistart_True_multigoal_True_sparse_fixed",
    ),
    (
        "antmaze-medium-play-v2",
        "ant_maze_v2/Ant_maze_big-maze_noisy_multistart_True_multigoal_False_sparse_fixed",
    ),
    (
        "antmaze-medium-diverse-v2",
        "ant_maze_v2/Ant_maze_big-maze_noisy_multistart_True_multigoal_True_sparse_fixed",
    ),
    (
        "antmaze-large-play-v2",
        "ant_maze_v2/Ant_maze_hardest-maze_noisy_multistart_True_multigoal_False_sparse_fixed",
    ),
    (
        "antmaze-large-diverse-v2",
        "ant_maze_v2/Ant_maze_hardest-maze_noisy_multistart_True_multigoal_True_sparse_fixed",
    ),
    (
        "kitchen-complete-v0",
        "kitchen/mini_kitchen_microwave_kettle_light_slider-v0",
    ),
    (
        "kitchen-partial-v0",
        "kitchen/kitchen_microwave_kettle_light_slider-v0",
    ),
    (
        "kitchen-mixed-v0",
        "kitchen/kitchen_microwave_kettle_bottomburner_light-v0",
    ),
];

/// Every dataset's name, and the path of its file below the server's folder.
pub(super) fn files() -> impl Iterator<Item = (String, String)> {
    let gym = ["v1", "v2"].into_iter().flat_map(|version| {
        ENVS.into_iter().flat_map(move |env| {
            SETS.into_iter().map(move |set| {
                let file = format!("{env}_{}-{version}", set.replace('-', "_"));
                let path = format!("gym_mujoco_{version}/{file}.hdf5");
                (format!("{env}-{set}-{version}"), path)
            })
        })
    });
    let hands = HANDS.into_iter().flat_map(|hand| {
        HAND_SETS.into_iter().map(move |set| {
            let name = format!("{hand}-{set}-v1");
            let path = format!("hand_dapg_v1/{name}.hdf5");
            (name, path)
        })
    });
    let others = OTHERS
        .into_iter()
        .map(|(name, path)| (name.to_owned(), format!("{path}.hdf5")));
    gym.chain(hands).chain(others)
}
