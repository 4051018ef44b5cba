//! What all vendors' clients are made of: HTTP with server-sent events, and WebSockets, every wait bounded.

pub mod handshakes;
pub mod http;
pub mod socket;
pub mod sse;

use std::sync::Once;

/// The process-wide cryptography for TLS, once.
fn cryptography() {
    static INSTALLED: Once = Once::new();
    // Fails only if the program has installed it itself.
    INSTALLED.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
