//! What the tests share: an engine on a real socket, a caller in real time, and what is left behind.
//!
//! Nothing here knows the inside of a call. [`House`] is an engine of the test's own with an organisation of its
//! own in the one Postgres of the test program; [`Caller`] speaks recorded clips through the public RPC and plays
//! the agent's audio as a telephone would; [`alignment`] listens to recordings. Every wait is bounded and says
//! what was awaited and what came instead.

pub mod agents;
pub mod alignment;
pub mod caller;
pub mod clips;
pub mod database;
pub mod details;
pub mod house;
pub mod json;
pub mod loudspeaker;
pub mod pipeline;
pub mod program;
pub mod proxy;
pub mod service;
pub mod tools;
pub mod trial;
pub mod watcher;

pub use caller::Caller;
pub use house::House;
pub use program::Program;
pub use watcher::Watcher;
