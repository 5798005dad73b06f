//! The table.

use super::entry::Entry;
use crate::{
    classic_control::{acrobot, cartpole, mountain_car, mountain_car_continuous, pendulum},
    key_to_door::{self, KeyToDoor},
    mujoco::{
        Ant, HalfCheetah, Hopper, Humanoid, InvertedDoublePendulum, InvertedPendulum, Pusher,
        Reacher, Swimmer, V4, Walker2d,
    },
    stitching_maze::StitchingMaze,
};

/// All environments. Numbers: the time limit, the threshold, random and expert mean returns.
#[rustfmt::skip]
pub(super) const TABLE: [Entry; 21] = [
    Entry::columns::<cartpole::CartPole>("CartPole-v1", 500)
        .of("classic_control.cartpole:CartPoleEnv").solved(475.0).returns(22.235, 500.0),
    Entry::world::<mountain_car::MountainCar>("MountainCar-v0", 200)
        .of("classic_control.mountain_car:MountainCarEnv").solved(-110.0).returns(-200.0, -108.121),
    Entry::world::<mountain_car_continuous::MountainCarContinuous>("MountainCarContinuous-v0", 999)
        .of("classic_control.continuous_mountain_car:Continuous_MountainCarEnv")
        .solved(90.0).returns(-33.344_411, 98.589_980),
    Entry::world::<acrobot::Acrobot>("Acrobot-v1", 500)
        .of("classic_control.acrobot:AcrobotEnv").solved(-100.0).returns(-499.425, -75.857),
    Entry::columns::<pendulum::Pendulum>("Pendulum-v1", 200)
        .of("classic_control.pendulum:PendulumEnv").returns(-1_215.772_602, -146.841_254),

    Entry::world::<KeyToDoor>("KeyToDoor-v0", key_to_door::STEPS).returns(0.034, 1.0),
    Entry::world::<StitchingMaze>("StitchingMaze-v0", 300).returns(0.0, 1.0),

    Entry::mujoco::<Hopper>("Hopper-v5", 1000)
        .of("mujoco.hopper_v5:HopperEnv").solved(3800.0).returns(-20.272_305, 3234.3),
    Entry::mujoco::<HalfCheetah>("HalfCheetah-v5", 1000)
        .of("mujoco.half_cheetah_v5:HalfCheetahEnv").solved(4800.0).returns(-280.178_953, 12_135.0),
    Entry::mujoco::<Walker2d>("Walker2d-v5", 1000)
        .of("mujoco.walker2d_v5:Walker2dEnv").returns(1.629_008, 4592.3),
    Entry::mujoco::<Ant>("Ant-v5", 1000)
        .of("mujoco.ant_v5:AntEnv").solved(6000.0).returns(-325.6, 3879.7),
    Entry::mujoco::<Humanoid>("Humanoid-v5", 1000)
        .of("mujoco.humanoid_v5:HumanoidEnv"),
    Entry::mujoco::<Swimmer>("Swimmer-v5", 1000)
        .of("mujoco.swimmer_v5:SwimmerEnv").solved(360.0),
    Entry::mujoco::<Reacher>("Reacher-v5", 50)
        .of("mujoco.reacher_v5:ReacherEnv").solved(-3.75),
    Entry::mujoco::<InvertedPendulum>("InvertedPendulum-v5", 1000)
        .of("mujoco.inverted_pendulum_v5:InvertedPendulumEnv").solved(950.0).returns(5.073, 1000.0),
    Entry::mujoco::<InvertedDoublePendulum>("InvertedDoublePendulum-v5", 1000)
        .of("mujoco.inverted_double_pendulum_v5:InvertedDoublePendulumEnv")
        .solved(9100.0).returns(48.146_550, 9_359.865_377),
    Entry::mujoco::<Pusher>("Pusher-v5", 100)
        .of("mujoco.pusher_v5:PusherEnv").solved(0.0),

    Entry::mujoco::<V4<Hopper>>("Hopper-v4", 1000)
        .of("mujoco.hopper_v4:HopperEnv").solved(3800.0).returns(-20.272_305, 3234.3),
    Entry::mujoco::<V4<HalfCheetah>>("HalfCheetah-v4", 1000)
        .of("mujoco.half_cheetah_v4:HalfCheetahEnv").solved(4800.0).returns(-280.178_953, 12_135.0),
    Entry::mujoco::<V4<Walker2d>>("Walker2d-v4", 1000)
        .of("mujoco.walker2d_v4:Walker2dEnv").returns(1.629_008, 4592.3),
    Entry::mujoco::<V4<Ant>>("Ant-v4", 1000)
        .of("mujoco.ant_v4:AntEnv").solved(6000.0).returns(-325.6, 3879.7),
];
