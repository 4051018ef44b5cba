//! The rules of turn-taking, as scenarios in simulated time.

mod agents;
mod chaos;
mod dialogues;
mod session;
mod straight;
