use super::*;
use crate::mujoco;

#[test]
fn every_id_makes_an_environment_of_that_id() {
    for id in ids() {
        assert_eq!(spec(id).unwrap().id, id);
        if !needs_mujoco(id) || mujoco::is_here(id) {
            assert_eq!(make(id).unwrap().spec(), &spec(id).unwrap());
        }
    }
}

#[test]
fn an_unknown_id_names_the_nearest() {
    let Err(Error::UnknownId { id, nearest }) = make("mountaincar") else {
        panic!("no such environment")
    };
    assert_eq!(id, "mountaincar");
    assert_eq!(nearest[..2], ["MountainCar-v0", "MountainCarContinuous-v0"]);
    assert_eq!(
        make("CartPole-v0")
            .err()
            .unwrap()
            .to_string()
            .split(',')
            .next()
            .unwrap(),
        "unknown environment `CartPole-v0`; the nearest are CartPole-v1"
    );
}
