//! The rules of turn-taking, as scenarios in simulated time.

mod agents;
mod session;
mod straight;
