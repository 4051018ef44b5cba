//! Whole calls through the public RPC on the vendors' own protocols: every provider, sensible combinations of them,
//! and every fault in mid-call. The vendors are stand-ins which the vendors' own client libraries take for real.

mod calls;
mod example;
mod faults;
mod hindi;
mod takeovers;
