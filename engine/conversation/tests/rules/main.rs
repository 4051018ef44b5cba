//! The rules of turn-taking, as scenarios in simulated time.

mod agent_side;
mod agents;
mod chaos;
mod dialogues;
mod floor;
mod resume;
mod session;
mod speculation;
mod speculation_chaos;
mod straight;
mod tools;
mod truth;
mod turn_end;
