//! The contract: types and service stubs generated from `proto/parlance/v1`, and the descriptor set.
//!
//! The comments of the `.proto` files are the documentation. What their options say of each RPC stands in
//! [`METHODS`].

mod secrets;

/// Version 1 of the API.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("parlance.v1");
}

/// The encoded `FileDescriptorSet` with imports, comments and options; serves reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/parlance.binpb"));

/// What the contract says of an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// `/parlance.v1.AgentService/GetAgent` and its like.
    pub path: &'static str,
    scope: i32,
    /// Whether its request has a `request_id`: it changes something.
    pub mutates: bool,
    reasons: &'static [i32],
}

impl Method {
    /// The RPC of this path, if it is one of ours.
    pub fn of(path: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.path == path)
    }

    /// The scope a key needs.
    pub fn scope(&self) -> v1::KeyScope {
        v1::KeyScope::try_from(self.scope).unwrap_or(v1::KeyScope::Admin)
    }

    /// The reasons of its own that it refuses with.
    pub fn reasons(&self) -> impl Iterator<Item = v1::ErrorReason> {
        self.reasons.iter().filter_map(|reason| v1::ErrorReason::try_from(*reason).ok())
    }
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));
