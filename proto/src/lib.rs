//! The contract: types and service stubs generated from `proto/parlance/v1`, and the descriptor set.
//!
//! Nothing here is written by hand; the comments of the `.proto` files are the documentation.

/// Version 1 of the API.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("parlance.v1");
}

/// The encoded `FileDescriptorSet` with imports, comments and options; serves reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/parlance.binpb"));
